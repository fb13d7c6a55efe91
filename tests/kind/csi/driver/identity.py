"""Who the driver is: CSI's identity service, and the one by which the kubelet finds a driver on its node."""

from __future__ import annotations

import logging

from . import DRIVER
from . import csi_pb2 as csi
from . import registration_pb2 as registration

VERSION = "1"

log = logging.getLogger(__name__)


class Identity:
    """The calls of csi.v1.Identity."""

    def GetPluginInfo(self, _request: csi.GetPluginInfoRequest) -> csi.GetPluginInfoResponse:
        return csi.GetPluginInfoResponse(name=DRIVER, vendor_version=VERSION)

    def GetPluginCapabilities(self, _request: csi.GetPluginCapabilitiesRequest) -> csi.GetPluginCapabilitiesResponse:
        plugin = csi.PluginCapability
        return csi.GetPluginCapabilitiesResponse(
            capabilities=[
                plugin(service=plugin.Service(type="CONTROLLER_SERVICE")),
                plugin(service=plugin.Service(type="VOLUME_ACCESSIBILITY_CONSTRAINTS")),
                plugin(volume_expansion=plugin.VolumeExpansion(type="ONLINE")),
            ]
        )

    def Probe(self, _request: csi.ProbeRequest) -> csi.ProbeResponse:
        # The sockets are only opened once the pool is mounted, so whoever can ask may go ahead.
        return csi.ProbeResponse(ready={"value": True})


class Registration:
    """The calls of pluginregistration.Registration: what node-driver-registrar would do."""

    def __init__(self, endpoint: str) -> None:
        """``endpoint``: the path of the CSI socket as the kubelet sees it."""
        self._endpoint = endpoint

    def GetInfo(self, _request: registration.InfoRequest) -> registration.PluginInfo:
        return registration.PluginInfo(
            type="CSIPlugin", name=DRIVER, endpoint=self._endpoint, supported_versions=["1.0.0"]
        )

    def NotifyRegistrationStatus(
        self, request: registration.RegistrationStatus
    ) -> registration.RegistrationStatusResponse:
        if request.plugin_registered:
            log.info("registered with the kubelet")
        else:
            log.error("the kubelet refused the registration: %s", request.error)
        return registration.RegistrationStatusResponse()
