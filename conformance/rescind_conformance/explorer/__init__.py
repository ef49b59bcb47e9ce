"""The explorer: walks every order in which the messages of a scenario can cross, and judges each.

`scenario` says what may happen, `scenarios` has those that are walked; `System` puts a scenario together over the
machines of a `cast`, `walk` walks it, `counterexample` tells a violation in its shortest order:

    system = System(SCENARIOS["late-worker"])
    result = walk(system)
    for found in result.found:
        print(*counterexample(system, result, found).lines(), sep="\\n")
"""
