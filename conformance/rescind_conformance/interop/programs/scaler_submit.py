"""submit, map, starmap and send_object with Scaler's client."""

from scaler import Client


def square(value: int) -> int:
    return value * value


def add(one: int, two: int) -> int:
    return one + two


def look_up(table: bytes, index: int) -> int:
    return table[index]


def main() -> None:
    with Client(address="tcp://127.0.0.1:8516") as client:
        future = client.submit(square, 4)
        print(future.result())
        print(client.map(add, [1, 2, 3], [10, 20, 30]))
        print(client.starmap(add, [(5, 5), (10, 10)]))
        table = client.send_object(b"1" * 1_000_000, name="table")
        futures = [client.submit(look_up, table, index) for index in (0, 17, 999_999)]
        print([future.result() for future in futures])


if __name__ == "__main__":
    main()
