"""Scenarios as JSON values, so that a file says by itself what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar

from rescind import wire
from rescind.messages import GraphTask
from rescind.scheduler_machine import SchedulerSettings
from rescind_conformance.explorer.scenario import CancelCall, ClientPlan, RawPlan, Scenario, SchedulerPlan, WorkerPlan

T = TypeVar("T")


def scenario_to_json(scenario: Scenario) -> dict[str, Any]:
    """The fields of a scenario that do not have their default; messages as `wire.to_json` writes them."""
    return _fields_of(scenario)


def scenario_from_json(value: Mapping[str, Any]) -> Scenario:
    """The scenario that `scenario_to_json` has written. Raises `ValueError`."""
    clients = tuple(_client(each) for each in _listed(value, "clients"))
    workers = tuple(_made(WorkerPlan, each) for each in _listed(value, "workers"))
    plan = value.get("scheduler", {})
    settings = _made(SchedulerSettings, _object(plan).get("settings", {}))
    scheduler = _made(SchedulerPlan, plan, loses=_texts(plan, "loses"), settings=settings)
    scenario = _made(Scenario, value, clients=clients, workers=workers, scheduler=scheduler)
    peers = [f"C{number + 1}" for number in range(len(clients))] + [f"W{number + 1}" for number in range(len(workers))]
    if unknown := set(scheduler.loses) - set(peers):
        raise ValueError(f"there is no {', '.join(sorted(unknown))} that could be lost")
    return scenario


def _fields_of(value: Any) -> dict[str, Any]:
    return {
        field.name: _value(field.name, getattr(value, field.name))
        for field in fields(value)
        if getattr(value, field.name) != _default(field)
    }


def _value(name: str, value: Any) -> Any:
    if name == "graph":
        return wire.to_json(value)
    if name == "script":
        return [wire.to_json(message) for message in value]
    if isinstance(value, tuple):
        return [_value("", each) for each in value]
    return _fields_of(value) if is_dataclass(value) else value


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


def _client(value: Any) -> ClientPlan | RawPlan:
    if "script" in _object(value):
        script = tuple(wire.from_json(_object(each)) for each in _listed(value, "script"))
        return _made(RawPlan, value, script=script)
    calls = tuple(_made(CancelCall, each) for each in _listed(value, "cancels"))
    submits, limits = _texts(value, "submits"), _texts(value, "time_limits")
    graph = wire.from_json(_object(value["graph"])) if "graph" in value else None
    if not isinstance(graph, GraphTask | None):
        raise ValueError(f"'graph' is a {type(graph).__name__}, and should be a GraphTask")
    return _made(ClientPlan, value, submits=submits, graph=graph, cancels=calls, time_limits=limits)


def _made(kind: type[T], value: Any, **made: Any) -> T:
    """A dataclass of the fields in `value`; those in `made` are ready."""
    given = {}
    known = {field.name: _default(field) for field in fields(kind)}  # type: ignore[arg-type]
    for name, each in _object(value).items():
        if name not in known:
            raise ValueError(f"{kind.__name__} has no {name!r}")
        expected = str if known[name] is MISSING else type(known[name])
        if name not in made and not (type(each) is expected or (expected is float and type(each) is int)):
            raise ValueError(f"{name!r} of {kind.__name__} is {each!r}, and should be of type {expected.__name__}")
        given[name] = each
    try:
        return kind(**{**given, **made})
    except TypeError as error:
        raise ValueError(str(error)) from error


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is not an object")
    return value


def _listed(value: Any, name: str) -> list[Any]:
    listed = _object(value).get(name, [])
    if not isinstance(listed, list):
        raise ValueError(f"{name!r} is {listed!r}, and should be a list")
    return listed


def _texts(value: Any, name: str) -> tuple[str, ...]:
    texts = _listed(value, name)
    if not all(isinstance(each, str) for each in texts):
        raise ValueError(f"{name!r} is {texts!r}, and should be a list of strings")
    return tuple(texts)
