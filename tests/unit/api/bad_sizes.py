"""Sizes of instances that must be refused, fixed ones and ranges."""

from __future__ import annotations

from typing import Final

from tests.unit.api.case import Bad

BAD_SIZES: Final = (
    Bad(
        "class-and-resources",
        {"instanceClass": "db.r6g.large", "resources": {"limits": {"memory": "1Gi"}}},
        "instanceClass and resources exclude each other: keep one of them.",
    ),
    Bad(
        "class-and-resources-of-an-instance",
        {
            "instanceSettings": [
                {"instance": 1, "instanceClass": "db.r6g.large", "resources": {"limits": {"memory": "1Gi"}}}
            ]
        },
        "instanceClass and resources exclude each other: keep one of them.",
    ),
    Bad(
        "unknown-class",
        {"instanceClass": "db.m5.large"},
        "This instance class is not known: use one of Aurora's, such as db.t4g.medium, db.r6g.large or "
        "db.r8g.2xlarge, db.serverless for one that scales by itself, or set resources instead.",
    ),
    Bad(
        "serverless-without-a-range",
        {"instanceClass": "db.serverless"},
        "instanceClass db.serverless needs serverlessV2ScalingConfiguration with minCapacity and maxCapacity",
    ),
    Bad(
        "a-serverless-reader-without-a-range",
        {"instanceSettings": [{"instance": 2, "instanceClass": "db.serverless"}]},
        "instanceClass db.serverless needs serverlessV2ScalingConfiguration with minCapacity and maxCapacity",
    ),
    Bad(
        "capacity-too-large",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 1, "maxCapacity": 256.5}},
        "maxCapacity must be 1 to 256 ACU.",
    ),
    Bad(
        "capacity-too-small",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 0.25, "maxCapacity": 4}},
        "minCapacity must be 0, which lets an idle cluster pause, or 0.5 to 256 ACU.",
    ),
    Bad(
        "capacity-between-steps",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 0.5, "maxCapacity": 4.75}},
        "Capacities go in steps of 0.5 ACU: round minCapacity and maxCapacity.",
    ),
    Bad(
        "capacities-crossed",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 8, "maxCapacity": 4}},
        "minCapacity exceeds maxCapacity: raise maxCapacity or lower minCapacity.",
    ),
    Bad(
        "pause-too-soon",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 0, "maxCapacity": 4, "secondsUntilAutoPause": 299}},
        "secondsUntilAutoPause must be 300 (five minutes) to 86400 (a day).",
    ),
    Bad(
        "pause-too-late",
        {"serverlessV2ScalingConfiguration": {"minCapacity": 0, "maxCapacity": 4, "secondsUntilAutoPause": 86401}},
        "secondsUntilAutoPause must be 300 (five minutes) to 86400 (a day).",
    ),
    Bad(
        "v1-range-without-v1",
        {"scalingConfiguration": {"minCapacity": 2}},
        "scalingConfiguration is Serverless v1's and needs engineMode serverless: add it, or use",
    ),
    Bad(
        "v1-and-v2",
        {"engineMode": "serverless", "serverlessV2ScalingConfiguration": {"minCapacity": 1, "maxCapacity": 4}},
        "engineMode serverless is Serverless v1 and excludes serverlessV2ScalingConfiguration: use",
    ),
    Bad(
        "v1-with-a-class",
        {"engineMode": "serverless", "instanceClass": "db.r6g.large"},
        "With engineMode serverless all instances scale by scalingConfiguration: remove instanceClass and resources.",
    ),
    Bad(
        "v1-with-resources",
        {"engineMode": "serverless", "resources": {"limits": {"memory": "4Gi"}}},
        "With engineMode serverless all instances scale by scalingConfiguration: remove instanceClass and resources.",
    ),
    Bad(
        "v1-with-an-instance-of-its-own-size",
        {"engineMode": "serverless", "instanceSettings": [{"instance": 2, "instanceClass": "db.r6g.large"}]},
        "With engineMode serverless all instances scale by scalingConfiguration: remove instanceClass and resources.",
    ),
    Bad(
        "v1-with-readers",
        {
            "engineMode": "serverless",
            "readerAutoscaling": {"target": {"metric": "CPUUtilization", "value": 60}},
        },
        "engineMode serverless has no readers: remove readerAutoscaling, or use Serverless v2.",
    ),
    Bad(
        "v1-least-of-no-size",
        {"engineMode": "serverless", "scalingConfiguration": {"minCapacity": 1}},
        "minCapacity must be one of Serverless v1's capacities: 2, 4, 8, 16, 32, 64, 192, 384 ACU.",
    ),
    Bad(
        "v1-most-of-no-size",
        {"engineMode": "serverless", "scalingConfiguration": {"maxCapacity": 256}},
        "maxCapacity must be one of Serverless v1's capacities: 2, 4, 8, 16, 32, 64, 192, 384 ACU.",
    ),
    Bad(
        "v1-capacities-crossed",
        {"engineMode": "serverless", "scalingConfiguration": {"minCapacity": 16, "maxCapacity": 8}},
        "minCapacity exceeds maxCapacity: raise maxCapacity or lower minCapacity.",
    ),
    Bad(
        "v1-timeout-too-short",
        {"engineMode": "serverless", "scalingConfiguration": {"secondsBeforeTimeout": 59}},
        "secondsBeforeTimeout must be 60 to 600.",
    ),
    Bad(
        "v1-timeout-too-long",
        {"engineMode": "serverless", "scalingConfiguration": {"secondsBeforeTimeout": 601}},
        "secondsBeforeTimeout must be 60 to 600.",
    ),
    Bad(
        "v1-pause-too-soon",
        {"engineMode": "serverless", "scalingConfiguration": {"secondsUntilAutoPause": 299}},
        "secondsUntilAutoPause must be 300 (five minutes) to 86400 (a day).",
    ),
    Bad(
        "request-over-limit",
        {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "500m"}}},
        "requests.cpu exceeds limits.cpu: raise the limit or lower the request.",
    ),
    Bad(
        "memory-request-over-limit",
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}},
        "requests.memory exceeds limits.memory: raise the limit or lower the request.",
    ),
    Bad(
        "too-little-memory",
        {"resources": {"limits": {"memory": "64Mi"}}},
        "An instance needs at least 256Mi of memory: raise memory in requests and limits.",
    ),
    Bad(
        "cpu-not-a-quantity",
        {"resources": {"requests": {"cpu": "two"}}},
        "This is not a quantity: write a positive number with an optional unit, such as 500m or 2 for cpu, "
        "512Mi or 16Gi for memory.",
    ),
)
