"""From a model's name to a Target: where it is asked, with which keys, parameters and time limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llmctl.config.nodes import ProfileError
from llmctl.config.schema import suggest
from llmctl.core.addresses import host_of, is_loopback, is_of, refuse_address
from llmctl.core.errors import ConfigError, ForbiddenAddress, UsageError
from llmctl.core.headers import together
from llmctl.core.model import NOT_PARAMS, Request, Step, Target, Timeouts, replace
from llmctl.core.profile import DEFAULT_PARAMS, ModelRule, Profile, ProviderRule, TimeoutRule
from llmctl.providers.catalog import HOUSES, House, endpoint, house

CAPS = ("max_completion_tokens", "max_tokens")
ProviderOf = Callable[[str], str | None]
Near = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Choice:
    """A target with its parameters; `defaults` are the names of those nobody asked for.

    `climb` is the rest of the profile's cascade, where no model was named.
    """

    target: Target
    params: Mapping[str, Any]
    defaults: frozenset[str]
    climb: tuple[Step, ...] = ()


class Targets:
    """Resolves names against a profile. `provider_of` and `near` ask the price book."""

    def __init__(
        self,
        profile: Profile,
        environ: Mapping[str, str],
        provider_of: ProviderOf,
        near: Near,
        where: str = "",
    ) -> None:
        self.profile = profile
        self.environ = environ
        self.provider_of = provider_of
        self.near = near
        self.where = where

    def choose(self, name: str | None, extra: Mapping[str, Any] | None = None) -> Choice:
        """`name` None: the cascade, else the first model. `extra` parameters win; null removes one."""
        if name is None and self.profile.cascade:
            first, *rest = (self.choose(step, extra) for step in self.profile.cascade)
            climb = tuple(Step(step.target, step.params, step.defaults) for step in rest)
            return Choice(first.target, first.params, first.defaults, climb)
        if extra and not NOT_PARAMS.isdisjoint(extra):
            name = min(NOT_PARAMS & extra.keys())
            hint = "where to ask, with which key and how often is said in the profile"
            raise UsageError(f"{name!r} is no parameter of a model", hint=hint)
        rule = self._rule(name)
        params = layered(DEFAULT_PARAMS, self.profile.params, rule.params, extra or {})
        asked = {*self.profile.params, *rule.params, *(extra or {})}
        params = {key: value for key, value in params.items() if value is not None}
        target = self._target(name or next(iter(self.profile.models)), rule)
        return Choice(target, params, frozenset(params) - asked)

    def model(self, name: str) -> str:
        """What a name stands for, as `provider/model`, whether or not it can be asked."""
        return self._full_name(self._rule(name).model)

    def served(self, name: str) -> str:
        """How the profile calls what a server calls `name`: a file made for that server names no provider.

        `some-house/Some-8B` is the profile's model of that name at whatever provider, else a model of the
        first one's provider. A name that says its provider, or none, is left as it is.
        """
        models = self.profile.models
        if name in models or "/" not in name or name.partition("/")[0] in HOUSES or not models:
            return name
        for own, rule in models.items():
            if rule.model.partition("/")[2] == name:
                return own
        first = next(iter(models.values()))
        lodging = house(self._full_name(first.model).partition("/")[0])
        return name if first.api_base or lodging.route == "local" else f"{lodging.name}/{name}"

    def _rule(self, name: str | None) -> ModelRule:
        models = self.profile.models
        if name is None:
            if not models:
                hint = "add `models:` to it, or name one with -m provider/model"
                raise ProfileError(f"{self.where}: the profile names no model", hint=hint)
            return next(iter(models.values()))
        return models.get(name) or ModelRule(model=self._full_name(name))

    def _full_name(self, name: str) -> str:
        if "/" in name:
            return name
        provider = self.provider_of(name)
        if provider is None:
            known = [*self.profile.models, *self.near(name)]
            hint = suggest(name, known) if known else "write provider/model"
            raise UsageError(f"unknown model {name!r}", hint=hint)
        return f"{provider}/{name}"

    def _target(self, name: str, rule: ModelRule) -> Target:
        model = self._full_name(rule.model)
        provider = model.partition("/")[0]
        lodging = house(provider)
        shared = self.profile.providers.get(provider) or ProviderRule()
        declared = rule.api_base or shared.api_base
        base = endpoint(provider, self.environ, declared)
        if base is not None:
            refuse_login(base, name)
            refuse_address(base, self.profile.plain_http)
        keys = rule.keys or shared.keys or self._keys(lodging.keys, lodging.keyless or bool(declared))
        if declared and base and keys and not (rule.keys or shared.keys):
            self._refuse_elsewhere(keys[0], base, lodging)
        return Target(
            name=name,
            model=model,
            provider=provider,
            api_base=base,
            keys=keys,
            headers=together(shared.headers, rule.headers),
            timeouts=timeouts(rule.timeout or self.profile.timeout),
        )

    def _refuse_elsewhere(self, key: str, base: str, lodging: House) -> None:
        """A key found by its usual name belongs to its provider: another host gets it only if told so."""
        host, home = host_of(base), host_of(lodging.base or "")
        if not home or is_loopback(home) or is_loopback(host) or is_of(host, home):
            return
        raise ForbiddenAddress(
            f"{self.where}: {key} is the key of {lodging.name}, and {host} is not its address",
            hint=f"if it is to be sent there, say so beside api_base: keys: [{key}]",
        )

    def _keys(self, names: tuple[str, ...], optional: bool) -> tuple[str, ...]:
        """The usual variables that are set; else the first, so that its absence is told by name."""
        present = tuple(f"env:{name}" for name in names if self.environ.get(name))
        return present[:1] or (() if optional or not names else (f"env:{names[0]}",))


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Later layers win; a cap of one puts away the cap of other name below it: no server takes both."""
    params: dict[str, Any] = {}
    for layer in layers:
        if any(layer.get(name) is not None for name in CAPS):
            params = {name: value for name, value in params.items() if name not in CAPS}
        params.update(layer)
    return params


class StandIns:
    """The profile's `fallback`: who is asked after whom. `ready` fits a schema to another model."""

    def __init__(self, targets: Targets, ready: Callable[[Request], Request]) -> None:
        self.targets = targets
        self.ready = ready
        self._after: dict[str, tuple[str, ...]] = {}

    def names(self, request: Request) -> tuple[str, ...]:
        """The models after the request's own; none where that is not in the list.

        UsageError, ProfileError for a name that is no model: found out before anything is sent.
        """
        target = request.target
        if target.name not in self._after:
            names = self.targets.profile.fallback
            models = [self.targets.choose(name).target.model for name in names]
            places = [n for n, name in enumerate(names) if target.name == name or target.model == models[n]]
            self._after[target.name] = names[places[0] + 1 :] if places else ()
        return self._after[target.name]

    def request(self, request: Request, name: str) -> Request:
        """The same question to the model of that name, with its own parameters but for those set by hand."""
        usual = self.targets.choose(request.target.name)
        changed = {key: value for key, value in request.params.items() if usual.params.get(key) != value}
        changed |= dict.fromkeys(usual.params.keys() - request.params.keys())
        choice = self.targets.choose(name, changed)
        asked = replace(
            request,
            target=choice.target,
            params=choice.params,
            defaults=choice.defaults,
            key=choice.target.keys[0] if choice.target.keys else None,
            fingerprint="",
        )
        return asked if asked.schema is None else self.ready(asked)


def timeouts(rule: TimeoutRule) -> Timeouts:
    """What is not said is as long as the whole."""
    return Timeouts(
        connect=min(rule.connect, rule.total),
        first=min(rule.first or rule.total, rule.total),
        idle=min(rule.idle or rule.total, rule.total),
        total=rule.total,
    )


def refuse_login(base: str, name: str) -> None:
    """ConfigError for a user or password in an address: it would stand in the cache, and is not sent."""
    host = re.split(r"[/\\?#]", base.partition("//")[2], maxsplit=1)[0]
    if "@" in host:
        raise ConfigError(
            f"{name}: a user or password in api_base, at {host.rpartition('@')[2]}",
            hint="take it out, and send it as a header by reference: headers: {Authorization: env:NAME}",
        )
