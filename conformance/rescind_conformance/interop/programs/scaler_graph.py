"""A graph of tasks: values, and calls whose arguments are other nodes."""

from typing import Any

from scaler import Client


def increase(value: int) -> int:
    return value + 1


def subtract(one: int, two: int) -> int:
    return one - two


GRAPH: dict[str, Any] = {
    "one": 1,
    "two": (increase, "one"),
    "three": (increase, "two"),
    "difference": (subtract, "three", "two"),
}


def main() -> None:
    with Client(address="tcp://127.0.0.1:8516") as client:
        print(client.get(GRAPH, keys=["one", "three", "difference"]))
        futures = client.get(GRAPH, keys=["two", "three"], block=False)
        print([future.result() for future in futures.values()])


if __name__ == "__main__":
    main()
