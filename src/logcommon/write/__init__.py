"""From a call to a commit.

A call puts its entry into the `buffer`. The `writer`, a task, moves what is there to the `backlog`
as numbered batches, which a `spool` keeps on disk. The `committer` sends one batch after the other
until Redis has it. All of these account for what they do with a `reporter`.

Each has modules that decide for it: `pending` and `fold` for the buffer; `placement`, `transaction`
and `progress` for the committer; `spool_records` for the spool. All of these do no I/O, except that
`progress` warns through the reporter.
"""
