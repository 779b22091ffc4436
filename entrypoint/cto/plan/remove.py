"""Builds the plan of an uninstallation: our custom resources first, the namespaces last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cto.catalog import Catalog, Component
from cto.errors import UsageError, nearest
from cto.events import Phase
from cto.objects import ObjectRef
from cto.plan import labels, pulling
from cto.plan.changes import Action
from cto.plan.desired import STEP_TIMEOUT_S, phase_of
from cto.plan.observed import Observed, ReleaseRecord, ReleaseState, State
from cto.plan.steps import (
    DeleteNamespace,
    DeleteObjects,
    DeleteState,
    Note,
    Plan,
    Step,
    UninstallRelease,
)

_CRD = "apiextensions.k8s.io/v1"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be taken away besides the programs.

    Attributes:
        components: Only these; all if empty.
        delete_data: Volumes, generated secrets, and the users' custom resources too.
        delete_crds: Our CRDs that have no instances too.
    """

    components: tuple[str, ...] = ()
    delete_data: bool = False
    delete_crds: bool = False


def uninstall(catalog: Catalog, observed: Observed, options: Options) -> Plan:
    """Return the plan that takes the platform, or some of its components, away.

    Raises:
        UsageError: CTO-1200, there is no component of a name.
    """
    for name in (one for one in options.components if one not in catalog):
        known = [component.name for component in catalog.components]
        near = nearest(name, known)
        hint = f"Did you mean {near}?" if near else f"Components are {', '.join(known)}."
        raise UsageError("CTO-1200", f"There is no component {name!r}", hint=hint)
    return _Removal(catalog, observed, options).plan()


class _Removal:
    def __init__(self, catalog: Catalog, observed: Observed, options: Options) -> None:
        self._catalog = catalog
        self._observed = observed
        self._options = options
        self._state = observed.state or State(writer="", provider="", profile="")
        self._steps: list[Step] = []

    def plan(self) -> Plan:
        found = [c for c in self._catalog.components if self._is_there(c)]
        asked = self._options.components
        chosen = [c for c in found if not asked or c.name in asked]
        serving = {c.name: self._served(c) for c in chosen}
        leaving = [c for c in chosen if not serving[c.name]]
        for component in chosen:
            if serving[component.name]:
                title = f"Keep {component.title} in {component.namespace}"
                self._note(f"keep:{component.name}", component, title, serving[component.name])
        custom = self._custom_resources(leaving)
        for component in reversed(leaving):
            self._remove(component, custom, leaving)
        self._end(found, leaving)
        return Plan(
            command="uninstall",
            context=self._observed.context,
            provider=self._state.provider,
            profile=self._state.profile,
            simulated=self._observed.simulated,
            steps=tuple(self._steps),
            warnings=tuple(self._warnings(found, leaving)),
            components=tuple(leaving),
        )

    def _warnings(self, found: list[Component], leaving: list[Component]) -> Iterator[str]:
        going = {component.name for component in leaving}
        for component in found:
            needed = [name for name in component.depends_on if name in going]
            if needed and component.name not in going and self._is_installed(component):
                yield f"{component.name} stays and needs {', '.join(needed)}, which goes"
        apps = [str(known["name"]) for known in self._state.apps.values() if "id" in known]
        hooks = [f"the webhook of {place}" for place in sorted(self._state.webhooks)]
        if (apps or hooks) and len(leaving) == len(found):
            yield (
                f"What is at GitHub stays as it is: {', '.join([*sorted(apps), *hooks])}. "
                "`cto github remove`, run before this, takes Apps out of repositories, deletes "
                "webhooks for all, and names the pages for what is left"
            )

    def _is_there(self, component: Component) -> bool:
        """Whether something of it is there, be it only what an earlier uninstallation left."""
        return (
            component.name in self._state.releases
            or self._record(component) is not None
            or bool(self._crds_of(component))
            or bool(self._secrets(component))
            or bool(self._claims(component))
        )

    def _is_installed(self, component: Component) -> bool:
        known = self._state.releases.get(component.name)
        if self._is_taken(component):
            return False
        return self._record(component) is not None or (known is not None and bool(known.objects))

    def _is_taken(self, component: Component) -> bool:
        """Whether somebody else's release has the name."""
        key = f"{component.namespace}/{component.release}"
        return key in self._observed.records and self._record(component) is None

    def _record(self, component: Component) -> ReleaseRecord | None:
        record = self._observed.records.get(f"{component.namespace}/{component.release}")
        return record if record and record.ours else None

    def _release(self, component: Component) -> ReleaseState:
        return self._state.releases.get(component.name) or ReleaseState(
            component=component.name,
            release=component.release,
            namespace=component.namespace,
            digest="",
            chart="",
        )

    def _crds_of(self, component: Component) -> list[str]:
        return sorted(
            name
            for name, found in self._observed.crds.items()
            if found.get(labels.COMPONENT) == component.name
        )

    def _foreign_instances(self, component: Component) -> tuple[ObjectRef, ...]:
        """Return the users' objects that only this component serves, unless they may go too.

        What a program made by itself, and what is over, needs nobody.
        """
        if self._options.delete_data:
            return ()
        holding = {kind for one in self._catalog.components for kind in one.data}
        releases = self._state.releases.values()
        known = (ref for release in releases for ref in (*release.glue, *release.objects))
        ours = {ref for ref in known if ref.kind not in holding}
        ours |= {*component.made(self._release(component).glue), *self._observed.ended}
        return tuple(
            ref
            for name in self._crds_of(component)
            for ref in self._observed.instances.get(name, ())
            if ref not in ours
        )

    def _served(self, component: Component) -> str:
        """Say for what the component has to stay: users' objects, or such as nobody can see."""
        instances = self._foreign_instances(component)
        if instances:
            shown = ", ".join(str(ref) for ref in instances[:3])
            more = f" and {len(instances) - 3} more" if len(instances) > 3 else ""
            return f"it serves {shown}{more}; --delete-data deletes them"
        hidden = [] if self._options.delete_data else self._hidden(component)
        if not hidden:
            return ""
        return f"nobody knows what it serves: {'; '.join(hidden)}; --delete-data removes it"

    def _hidden(self, component: Component) -> list[str]:
        """Return which of its CRDs have objects that nobody can list, with the reason."""
        unlisted = self._observed.unlisted
        return [
            f"{name} cannot be listed ({unlisted[name]})"
            for name in self._crds_of(component)
            if name in unlisted
        ]

    def _note(self, step_id: str, component: Component, title: str, reason: str) -> None:
        note = Note(
            id=step_id,
            phase=phase_of(component),
            title=title,
            action=Action.KEEP,
            reason=reason,
            component=component.name,
        )
        self._steps.append(note)

    def _custom_resources(self, leaving: list[Component]) -> tuple[str, ...]:
        """Delete our custom resources while the programs that finalize them still run."""
        ids: list[str] = []
        for component in leaving:
            groups = {name.partition(".")[2] for name in self._observed.crds}
            glue = self._release(component).glue
            users = self._user_instances(component) if self._options.delete_data else ()
            kept = () if self._options.delete_data else component.data
            ours = tuple(
                ref
                for ref in glue
                if ref.group in groups and ref in self._observed.present and ref.kind not in kept
            )
            self._delete(f"custom:{component.name}", component, "custom resources", (*ours, *users))
            if ours or users:
                ids.append(f"custom:{component.name}")
        return tuple(ids)

    def _user_instances(self, component: Component) -> tuple[ObjectRef, ...]:
        ours = set(self._release(component).glue)
        found = self._observed.instances
        refs = (ref for name in self._crds_of(component) for ref in found.get(name, ()))
        return tuple(ref for ref in refs if ref not in ours)

    def _delete(
        self,
        step_id: str,
        component: Component,
        what: str,
        objects: tuple[ObjectRef, ...],
        after: tuple[str, ...] = (),
    ) -> None:
        if not objects:
            return
        step = DeleteObjects(
            id=step_id,
            phase=phase_of(component),
            title=f"Delete the {what} of {component.title}",
            action=Action.DELETE,
            reason=f"{len(objects)} object{'s' if len(objects) > 1 else ''}",
            after=after,
            timeout_s=300,
            component=component.name,
            objects=objects,
        )
        self._steps.append(step)

    def _remove(
        self, component: Component, custom: tuple[str, ...], leaving: list[Component]
    ) -> None:
        name = component.name
        dependents = tuple(f"uninstall:{c.name}" for c in leaving if name in c.depends_on)
        self._steps.append(
            UninstallRelease(
                id=f"uninstall:{name}",
                phase=phase_of(component),
                title=f"Uninstall {component.title}",
                action=Action.DELETE if self._is_installed(component) else Action.KEEP,
                reason="installed by us" if self._is_installed(component) else "not there",
                after=(*custom, *dependents),
                timeout_s=STEP_TIMEOUT_S,
                component=name,
                release=component.release,
                namespace=component.namespace,
            )
        )
        after = (f"uninstall:{name}",)
        glue = tuple(ref for ref in self._release(component).glue if ref in self._observed.present)
        gone = {
            ref for step in self._steps if isinstance(step, DeleteObjects) for ref in step.objects
        }
        self._delete(
            f"glue:{name}", component, "own objects", tuple(r for r in glue if r not in gone), after
        )
        self._data(component, after)
        self._crds(component, after)

    def _data(self, component: Component, after: tuple[str, ...]) -> None:
        secrets = (*self._secrets(component), *self._made(component))
        claims = self._claims(component)
        if self._options.delete_data:
            self._delete(f"data:{component.name}", component, "data", (*secrets, *claims), after)
        elif secrets or claims:
            self._note(
                f"data:{component.name}",
                component,
                f"Keep the data of {component.title}",
                ", ".join(str(ref) for ref in (*claims, *secrets)) + "; --delete-data deletes them",
            )

    def _claims(self, component: Component) -> tuple[ObjectRef, ...]:
        """Return its volume claims.

        A claim has no label of ours. It is ours if the release is, or, once that is gone, if the
        namespace is and nobody else's release has the name now.
        """
        ours = labels.is_ours(self._observed.namespaces.get(component.namespace))
        if self._is_taken(component) or not (ours or self._is_installed(component)):
            return ()
        return tuple(
            claim.ref
            for claim in self._observed.claims
            if claim.release == component.release and claim.ref.namespace == component.namespace
        )

    def _made(self, component: Component) -> tuple[ObjectRef, ...]:
        """Return what its program made and keeps data in; the namespace has to be ours for that."""
        namespaces = self._observed.namespaces
        return tuple(
            ref
            for ref in component.made(self._release(component).glue)
            if ref.api_version == "v1" and ref in self._observed.present
            if labels.is_ours(namespaces.get(ref.namespace))
        )

    def _secrets(self, component: Component) -> tuple[ObjectRef, ...]:
        """Return those that are there, without any of that name that somebody else made."""
        present = self._observed.present
        entries = (ref for ref in present if labels.is_of_entry(present[ref], component.name))
        refs = (*component.secrets(self._release(component).glue), *sorted(entries))
        return tuple(ref for ref in dict.fromkeys(refs) if labels.is_ours(present.get(ref)))

    def _crds(self, component: Component, after: tuple[str, ...]) -> None:
        names = self._crds_of(component)
        title = f"Keep CRDs of {component.title}"
        if names and not self._options.delete_crds:
            why = f"{', '.join(names)}; --delete-crds deletes those that have no instances"
            self._note(f"keep-crds:{component.name}", component, title, why)
            return
        left = [n for n in names if self._observed.instances.get(n) and not self._all_go(n)]
        reasons = [f"{', '.join(left)}: there are objects of them"] if left else []
        reasons += self._hidden(component)
        left += [name for name in names if name in self._observed.unlisted]
        if left:
            self._note(f"keep-crds:{component.name}", component, title, "; ".join(reasons))
        free = tuple(
            ObjectRef(_CRD, "CustomResourceDefinition", "", n) for n in names if n not in left
        )
        self._delete(f"crds:{component.name}", component, "CRDs", free, after)

    def _all_go(self, crd: str) -> bool:
        going = {
            ref for step in self._steps if isinstance(step, DeleteObjects) for ref in step.objects
        }
        return all(ref in going for ref in self._observed.instances.get(crd, ()))

    def _pull_secrets(self, found: list[Component], leaving: list[Component]) -> None:
        """Delete those of namespaces where nothing stays that pulls; data does not."""
        used = {place for c in found if c not in leaving for place in self._places(c)}
        for step in [step for step in self._steps if isinstance(step, UninstallRelease)]:
            for place in self._places(self._catalog[step.component]):
                if place in used or not pulling.is_there(place, self._observed):
                    continue
                used.add(place)
                after = tuple(
                    other.id
                    for other in self._steps
                    if isinstance(other, UninstallRelease)
                    and place in self._places(self._catalog[other.component])
                )
                self._steps.append(pulling.removal(place, step, after, "nothing pulls there"))

    def _places(self, component: Component) -> tuple[str, ...]:
        """Return the namespaces that it has objects of its own in."""
        others = {ref.namespace for ref in self._release(component).glue}
        return component.namespace, *sorted(others - {"", component.namespace})

    def _end(self, found: list[Component], leaving: list[Component]) -> None:
        """Delete the namespaces that are empty then, and the state if nothing is left to know."""
        self._pull_secrets(found, leaving)
        everything = tuple(step.id for step in self._steps)
        staying = [c for c in found if c not in leaving]
        rest = ", ".join(c.name for c in staying)
        used = {place for c in staying for place in self._places(c)}
        for name in sorted({place for c in leaving for place in self._places(c)} - used):
            if not labels.is_ours(self._observed.namespaces.get(name)):
                continue
            self._steps.append(
                DeleteNamespace(
                    id=f"namespace:{name}",
                    phase=Phase.ACCESS,
                    title=f"Delete namespace {name} if it is empty",
                    action=Action.DELETE,
                    reason="made by us",
                    after=everything,
                    timeout_s=120,
                    namespace=name,
                )
            )
        if staying and self._observed.state is None:
            return
        self._steps.append(
            DeleteState(
                id="state",
                phase=Phase.ACCESS,
                title="Forget what is gone" if staying else "Delete the installer's state",
                action=Action.DELETE,
                reason=f"still there: {rest}" if staying else "nothing is left to know",
                after=tuple(step.id for step in self._steps),
                components=tuple(c.name for c in leaving),
                everything=not staying,
            )
        )
