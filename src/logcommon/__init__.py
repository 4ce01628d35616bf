"""An asyncio logging client on Redis that counts, exactly, which messages happen most."""

from logcommon.background import BackgroundLog, background
from logcommon.client import CommonLog, connect
from logcommon.exceptions import (
    ClientClosedError,
    ClusterUnsupportedError,
    CommitTimeoutError,
    EmbeddedServerError,
    InvalidArgumentError,
    LogCommonError,
    LoginRefusedError,
    NotWrittenError,
    OutcomeUnknownError,
    ServerRefusedError,
    ServerUnavailableError,
    SpoolError,
    SyncUseError,
)
from logcommon.functions import log_common, log_recent
from logcommon.messages.merging import merge_templates
from logcommon.messages.redaction import redact_secrets
from logcommon.messages.templates import Templates, template
from logcommon.model import (
    OTHER,
    Change,
    CommonRow,
    Comparison,
    Counted,
    Destination,
    Mark,
    Mute,
    NewEntries,
    RecentRow,
    Series,
    Summary,
    SummaryRow,
    Window,
)
from logcommon.settings import Settings
from logcommon.stats import Stats

__all__ = [
    "OTHER",
    "BackgroundLog",
    "Change",
    "ClientClosedError",
    "ClusterUnsupportedError",
    "CommitTimeoutError",
    "CommonLog",
    "CommonRow",
    "Comparison",
    "Counted",
    "Destination",
    "EmbeddedServerError",
    "InvalidArgumentError",
    "LogCommonError",
    "LoginRefusedError",
    "Mark",
    "Mute",
    "NewEntries",
    "NotWrittenError",
    "OutcomeUnknownError",
    "RecentRow",
    "Series",
    "ServerRefusedError",
    "ServerUnavailableError",
    "Settings",
    "SpoolError",
    "Stats",
    "Summary",
    "SummaryRow",
    "SyncUseError",
    "Templates",
    "Window",
    "background",
    "connect",
    "log_common",
    "log_recent",
    "merge_templates",
    "redact_secrets",
    "template",
]
