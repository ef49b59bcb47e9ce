"""The judge: reads what one party of the protocol received, did and sent, and says which requirement it broke.

It is written from SPEC.md alone and imports nothing of the reference's machines. `records` is what it reads,
`scheduler`, `client` and `worker` are its rules, each for one party and in that party's own order of events.
"""
