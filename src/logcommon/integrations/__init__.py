"""Logcommon in other frameworks' terms: one module each, and none knows another."""
