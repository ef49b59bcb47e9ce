"""A task that is given the client, and submits to it."""

from scaler import Client


def fibonacci(client: Client, number: int) -> int:
    if number < 2:
        return number
    one = client.submit(fibonacci, client, number - 1)
    two = client.submit(fibonacci, client, number - 2)
    total: int = one.result() + two.result()
    return total


def main() -> None:
    client = Client(address="tcp://127.0.0.1:8516")
    print(client.submit(fibonacci, client, 8).result())
    client.disconnect()


if __name__ == "__main__":
    main()
