"""The line formats of log files: where a line's time, severity, name and message are. No I/O."""
