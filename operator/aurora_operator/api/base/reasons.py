"""Reasons of events and conditions: stable CamelCase words that programs may rely on.

A phase of the cluster (`api.status.ClusterPhase`) is a reason too: of the conditions that it decides, and of the
event that tells of its beginning.
"""

from __future__ import annotations

from typing import Final

# Condition Ready, Available, Progressing, Degraded
AS_SPECIFIED: Final = "AsSpecified"
"""Ready: nothing is missing."""
WRITER_OPEN: Final = "WriterOpen"
"""Available: there is a writer, and it has its quorum."""
SETTLED: Final = "Settled"
"""Progressing is False: nothing is under way."""
ALL_WELL: Final = "AllWell"
"""Degraded is False: what should work does."""
FAULT: Final = "Fault"
"""Degraded, but the phase is not one of illness: the message says what does not work."""
AGENTS_UNREACHABLE: Final = "AgentsUnreachable"
"""The operator cannot ask the agents; the database may be well."""
RECONCILE_FAILED: Final = "ReconcileFailed"
"""The operator cannot do its work; also an event."""

# Condition DurabilityMet
ALL_COPIES: Final = "AllCopies"
COPIES_MISSING: Final = "CopiesMissing"
ZONES_MISSING: Final = "ZonesMissing"
WRITER_UNKNOWN: Final = "WriterUnknown"
"""Only the writer knows which copies are up to date."""

# Condition CapacityMet
AS_THE_LOAD_ASKS: Final = "AsTheLoadAsks"
NODE_TOO_SMALL: Final = "NodeTooSmall"
"""The kubelet cannot give an instance the capacity that it wants, now or ever; also an event."""
WAITING_FOR_SCALING_POINT: Final = "WaitingForScalingPoint"
"""Serverless v1: something is in the way of a change of capacity; also an event."""
CAPACITY_CHANGE_ROLLED_BACK: Final = "CapacityChangeRolledBack"
"""Serverless v1: there was no scaling point in time; also an event."""

# Condition SpecAccepted
ACCEPTED: Final = "Accepted"
CHECKING_PARAMETERS: Final = "CheckingParameters"
"""PostgreSQL is asked about changed parameters."""
INVALID_SPEC: Final = "InvalidSpec"
"""It breaks a rule of the schema, which this object must have got past."""
IMPOSSIBLE_SPEC: Final = "ImpossibleSpec"
"""It cannot be done in this Kubernetes cluster: a zone, a StorageClass."""
PARAMETERS_REFUSED: Final = "ParametersRefused"
"""PostgreSQL does not take a parameter."""

# Condition NameTaken; also an event
NAME_TAKEN: Final = "NameTaken"
"""An object of somebody else has a name that the cluster needs: it stays as it is."""

# Condition PasswordRefused; also an event
PASSWORD_REFUSED: Final = "PasswordRefused"  # noqa: S105  a reason
"""What is in the Secret cannot be a password."""
EDIT_PUT_BACK: Final = "EditPutBack"
"""An event: somebody changed a field of an object of ours, which is put back; the message names what to change."""
CONNECTION_APART: Final = "ConnectionApart"
"""An event: the Secret with the password is left alone, and how to connect is in another one."""

# Condition BackupHealthy
ARCHIVING: Final = "Archiving"
BACKUP_STARTING: Final = "BackupStarting"
"""The first backup is not there yet."""
BACKUP_FAILED: Final = "BackupFailed"
"""The last backup failed; WAL is stored all the same."""
BACKUP_GAP: Final = "BackupGap"
"""WAL is missing in the archive: restores go to the time before, or begin with the next backup."""
CREDENTIALS_REFUSED: Final = "CredentialsRefused"
BUCKET_MISSING: Final = "BucketMissing"
DESTINATION_UNREACHABLE: Final = "DestinationUnreachable"
CERTIFICATE_NOT_TRUSTED: Final = "CertificateNotTrusted"
PASSPHRASE_WRONG: Final = "PassphraseWrong"  # noqa: S105  a reason
DESTINATION_MISMATCH: Final = "DestinationMismatch"
DESTINATION_BUSY: Final = "DestinationBusy"
ARCHIVING_FAILED: Final = "ArchivingFailed"

# Condition RestoreRehearsed; besides, those of BackupHealthy that are about the destination
REHEARSAL_PENDING: Final = "RehearsalPending"
"""No backup has been restored yet."""
REHEARSAL_PASSED: Final = "RehearsalPassed"
"""The last rehearsal found nothing wrong; also an event."""
BACKUP_DAMAGED: Final = "BackupDamaged"
"""A file in the destination is not what was stored."""
RESTORE_FAILED: Final = "RestoreFailed"
DATA_DAMAGED: Final = "DataDamaged"
"""Checksums or pg_amcheck found damage in what was restored."""
QUERY_FAILED: Final = "QueryFailed"
"""The user's own query did not return true."""
REHEARSAL_TIMED_OUT: Final = "RehearsalTimedOut"
REHEARSAL_INTERRUPTED: Final = "RehearsalInterrupted"
"""Its Job or its pod ended without an answer."""

# Condition ProxyReady
PROXY_SERVES: Final = "ProxyServes"
"""All of the proxy's pods take clients."""
PROXY_STARTING: Final = "ProxyStarting"
"""Some of them do not yet, or no longer."""
PROXY_DOWN: Final = "ProxyDown"
"""None of them does."""

# Events
REHEARSAL_STARTED: Final = "RehearsalStarted"
REHEARSAL_FAILED: Final = "RehearsalFailed"
REHEARSAL_REFUSED: Final = "RehearsalRefused"
BACKUP_FAILING: Final = "BackupFailing"
BACKUP_RECOVERED: Final = "BackupRecovered"
BACKUP_COMPLETED: Final = "BackupCompleted"
BACKUP_REFUSED: Final = "BackupRefused"
CAPACITY_CHANGED: Final = "CapacityChanged"
"""A serverless instance has another capacity."""
CAPACITY_CHANGE_FORCED: Final = "CapacityChangeForced"
"""Serverless v1: a change was made without a scaling point."""
SPEC_ACCEPTED: Final = "SpecAccepted"
SPEC_REJECTED: Final = "SpecRejected"
INSTANCE_ADDED: Final = "InstanceAdded"
INSTANCE_REMOVED: Final = "InstanceRemoved"
WRITER_OPENED: Final = "WriterOpened"
"""The first writer of a cluster, or the first since it slept."""
SWITCHED_OVER: Final = "SwitchedOver"
FAILED_OVER: Final = "FailedOver"
COPY_LOST: Final = "CopyLost"
"""A copy's node or volume is lost, or its agent says that it is ill."""
COPY_BACK: Final = "CopyBack"
"""A copy that was lost is up to date again."""
DATA_LOSS_ACCEPTED: Final = "DataLossAccepted"
"""Survivors go on without a quorum, on somebody's command."""
DATA_LOSS_REFUSED: Final = "DataLossRefused"
SWITCHOVER_REFUSED: Final = "SwitchoverRefused"
REQUEST_OVER: Final = "RequestOver"
"""Of a request that stands in a manifest: it stays there, and is not done again."""
CLONE_FALLS_BACK: Final = "CloneFallsBack"
"""A clone becomes a full copy although it was to share blocks."""
CLONED: Final = "Cloned"

# Condition StorageHealthy; also events
ROOM_LEFT: Final = "RoomLeft"
"""StorageHealthy: every volume has room."""
VOLUME_GROWING: Final = "VolumeGrowing"
"""A volume was told to grow; also an event."""
VOLUME_GROWN: Final = "VolumeGrown"
"""A volume has become as large as it was told to; an event only."""
EXPANSION_NOT_SUPPORTED: Final = "ExpansionNotSupported"
"""The StorageClass does not let volumes grow."""
EXPANSION_REFUSED: Final = "ExpansionRefused"
"""Kubernetes did not take the larger size: a quota, most of the time."""
EXPANSION_FAILED: Final = "ExpansionFailed"
"""The storage driver, or the node, could not make the volume larger."""
MAXIMUM_REACHED: Final = "MaximumReached"
"""storage.autoscaling.max, or autoscaling is off."""
STORAGE_FULL: Final = "StorageFull"
"""A volume is so full that writes wait until it has grown."""
SLOT_RETAINS_WAL: Final = "SlotRetainsWal"
SLOT_LEFT_BEHIND: Final = "SlotLeftBehind"
"""A reader has a logical slot from when it was the writer."""
ARCHIVE_FAILING: Final = "ArchiveFailing"
TEMPORARY_FILES: Final = "TemporaryFiles"

# AuroraSnapshot: condition Ready, and events
WAITING: Final = "Waiting"
TAKING_SNAPSHOT: Final = "TakingSnapshot"
SNAPSHOT_READY: Final = "SnapshotReady"
SNAPSHOT_FAILING: Final = "SnapshotFailing"
"""It cannot be made, or removed, for now, which is tried again; the message says why."""
SNAPSHOT_LEFT: Final = "SnapshotLeft"
"""Its data stay in the destination, although it should have removed them."""
CANNOT_TAKE_SNAPSHOT: Final = "CannotTakeSnapshot"
"""What it asks for cannot be done here; the message says what would help."""
SNAPSHOT_LOST: Final = "SnapshotLost"
"""Somebody deleted what held the data."""
DELETING: Final = "Deleting"

MAINTENANCE_PENDING: Final = "MaintenancePending"
"""Pods are of an earlier operator or default image, and their replacement waits."""
MAINTENANCE_STARTED: Final = "MaintenanceStarted"
"""They are being replaced."""
READER_MOVED: Final = "ReaderMoved"
"""A reader whose node is too small begins again on a larger one."""

# Reader autoscaling: events
READERS_SCALED_OUT: Final = "ReadersScaledOut"
READERS_SCALED_IN: Final = "ReadersScaledIn"
