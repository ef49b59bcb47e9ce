"""clear, which cancels what is pending and forgets what was stored, and disconnect."""

import time

from scaler import Client


def square(value: int) -> int:
    return value * value


def stay(seconds: float) -> None:
    time.sleep(seconds)


def main() -> None:
    client = Client(address="tcp://127.0.0.1:8516")
    pending = client.submit(stay, 600.0)
    client.clear()
    if pending.cancelled():
        print("cleared")
    print(client.submit(square, 3).result())
    client.disconnect()
    print("disconnected")


if __name__ == "__main__":
    main()
