"""logcommon for loggers and frameworks: one module each, and none imports another."""
