"""FHIR R4 Claim and ExplanationOfBenefit, read as claims.

Also read: the forms in which CMS Blue Button 2.0 wrote benefits before R4 (`service`, `diagnosisLinkId`, `totalCost`),
and its code systems. What a Claim has no place for goes to the header: service dates, admitting diagnosis, payment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nocere.cases.claim import Claim, Diagnosis, Line, Setting, System
from nocere.cases.claim_fhir_form import Resource
from nocere.cases.claim_text import Found, age_on, day, dotted, fiscal_year, procedure
from nocere.core.canonical import Json
from nocere.core.errors import DataError

SYSTEMS: dict[str, System] = {
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD-10-CM",
    "http://hl7.org/fhir/sid/icd-10": "ICD-10-CM",  # Blue Button writes ICD-10-CM so
    "http://hl7.org/fhir/sid/icd-9-cm": "ICD-9-CM",
}
EVIDENCE = "urn:nocere:fhir:evidence"  # extension of a diagnosis: R4 gives it no place for what supports it
PRESENT = "clm_poa_ind_sw"  # extension in which Blue Button says what was present on admission
MINUTES, AGE, STAY, DISCHARGE = "service minutes", "age at admission", "length of stay", "discharge status"
# Blue Button's NCH claim types: inpatient and skilled nursing stays; what carriers and suppliers bill is professional.
STAYS, CARRIER = {"60", "61", "63", "64", "20", "30"}, {"71", "72", "81", "82"}


def read_fhir(data: Any, where: str, people: Mapping[str, Mapping[str, Any]] | None = None) -> Found:
    """A FHIR Claim or ExplanationOfBenefit, from parsed JSON.

    Args:
        data: the resource.
        where: file and position, as errors name it.
        people: Patient resources by reference (`Patient/1`), for age and sex where the claim does not hold its own.

    Raises:
        DataError: another resource, a claim for drugs, eyes or teeth, a part of another form than FHIR's, or neither a
            date nor a code year.
    """
    if not isinstance(data, Mapping) or data.get("resourceType") not in ("Claim", "ExplanationOfBenefit"):
        kind = data.get("resourceType") if isinstance(data, Mapping) else type(data).__name__
        raise DataError(f"{where}: expected a FHIR Claim or ExplanationOfBenefit; got {kind!r}.")
    own = _id(data, where)
    return _Reader(data, f"Claim {own}", people or {}).found(own)


def _id(data: Mapping[str, Any], where: str) -> str:
    """The first identifier, or else the resource's id, or else the place in the file."""
    identifiers = data.get("identifier")
    if isinstance(identifiers, list):
        for one in identifiers:
            if isinstance(one, Mapping) and isinstance(one.get("value"), str) and one["value"]:
                return str(one["value"])
    return str(data["id"]) if isinstance(data.get("id"), str) and data["id"] else where


class _Reader(Resource):
    """A Claim or ExplanationOfBenefit, part by part."""

    def __init__(self, data: Mapping[str, Any], where: str, people: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(data, where)
        self.people = people
        self.drg = ""

    def found(self, own: str) -> Found:
        header: dict[str, Json] = {}
        period = self.part(self.data, "billablePeriod")
        for name, key in (("from", "start"), ("thru", "end")):
            if key in period:
                header[name] = day(self.text(period, key), self.where).isoformat()
        setting = self.setting()
        system, year, diagnoses, places, admitting = self.diagnoses()
        if admitting:
            header["admitting"] = admitting
        payment = self.part(self.part(self.data, "payment"), "amount")
        if payment:
            header["payment"] = self.number(payment, "value")
        last = header.get("thru") or header.get("from")
        if not year and not last:
            raise DataError(f"{self.where}: neither billablePeriod nor a code system version says its code year.")
        info = self.info()
        lines = tuple(self.line(item, places, info) for item in self.parts(self.data, "item"))
        if self.drg:
            header["drg"] = self.drg
        patient, sex, age = self.patient(header)
        claim = Claim(
            diagnoses=diagnoses,
            procedures=self.procedures(system),
            lines=lines,
            system=system,
            code_year=year or fiscal_year(day(str(last), self.where)),
            setting=setting,
            age=info.age if info.age >= 0 else age,
            sex=sex,
            days=info.days or self.stay(),
            charge=self.charge(lines),
            provider=self.who("provider") or self.who("organization") or self.who("facility"),
            patient=patient,
            discharge=info.discharge,
        )
        return Found(own, claim, header)

    def setting(self) -> Setting:
        typed = [(s.rstrip("/").rsplit("/", 1)[-1], c) for s, c, _ in self.codings(self.data, "type")]
        typed += [("subtype", c) for _, c, _ in self.codings(self.data, "subType")]
        codes = {c for _, c in typed}
        for other in ("pharmacy", "oral", "vision"):
            if other in codes:
                hint = "Leave it out, or load with setting = 'inpatient', 'outpatient' or 'professional'."
                raise DataError(f"{self.where}: a {other} claim has no diagnoses to audit.", hint)
        nch = {c for s, c in typed if s == "nch_clm_type_cd"}
        if "professional" in codes or nch & CARRIER:
            return "professional" if not nch or nch & CARRIER else "outpatient"
        if "inpatient" in codes or nch & STAYS:
            return "inpatient"
        if "institutional" in codes or nch or "outpatient" in codes:
            return "outpatient"
        raise DataError(f"{self.where}: its type is neither institutional nor professional.")

    def diagnoses(self) -> tuple[System, int, tuple[Diagnosis, ...], dict[int, int], str]:
        found: list[tuple[bool, int, Diagnosis]] = []
        systems: dict[System, None] = {}
        year, admitting = 0, ""
        for d in self.parts(self.data, "diagnosis"):
            place = self.place(d, "diagnosis")
            if "packageCode" in d and "diagnosisCodeableConcept" not in d:  # only says the DRG
                self.drg = next((c for _, c, _ in self.codings(d, "packageCode")), "")
                continue
            written = [
                (SYSTEMS[s], c, v) for s, c, v in self.codings(d, "diagnosisCodeableConcept") if s in SYSTEMS and c
            ]
            if not written:
                raise DataError(f"{self.where}: diagnosis {place} has no ICD-10-CM or ICD-9-CM code.")
            system, code, version = written[0]
            types = {c for t in self.parts(d, "type") for _, c, _ in self.codings({"type": t}, "type")}
            if types == {"admitting"}:
                admitting = dotted(code, system)
                continue
            systems[system] = None
            year = int(version) if version.isdecimal() and len(version) == 4 else year
            extensions = [(self.text(e, "url"), e) for e in self.parts(d, "extension")]
            said = [self.text(self.part(e, "valueCoding"), "code") for url, e in extensions if PRESENT in url]
            poa = next((c.upper() for c in [c for _, c, _ in self.codings(d, "onAdmission")] + said), "")
            evidence = tuple(self.text(e, "valueString") for url, e in extensions if url == EVIDENCE)
            found.append(("principal" not in types, place, Diagnosis(dotted(code, system), poa, evidence)))
        if len(systems) > 1:
            raise DataError(f"{self.where}: its diagnoses mix ICD-9-CM and ICD-10-CM.")
        found.sort(key=lambda f: f[1])
        first = next((f for f in found if not f[0]), None)
        if first is not None:
            found = [first, *(f for f in found if f is not first)]
        places = {place: i for i, (_, place, _) in enumerate(found)}
        if len(places) != len(found):
            raise DataError(f"{self.where}: broken FHIR, two diagnoses have the same sequence number.")
        return next(iter(systems), "ICD-10-CM"), year, tuple(d for _, _, d in found), places, admitting

    def procedures(self, system: System) -> tuple[str, ...]:
        found = [
            (self.place(p, "procedure"), self.codings(p, "procedureCodeableConcept"))
            for p in self.parts(self.data, "procedure")
        ]
        return tuple(procedure(c[0][1], system) for _, c in sorted(found, key=lambda f: f[0]) if c)

    def line(self, item: Mapping[str, Any], places: Mapping[int, int], info: _Info) -> Line:
        service = self.codings(item, "productOrService") or self.codings(item, "service")
        linked = self.numbers(item, "diagnosisSequence") or self.numbers(item, "diagnosisLinkId")
        for place in linked:
            if place not in places:
                raise DataError(f"{self.where}: an item points to diagnosis {place}, which the claim does not have.")
        quantity = self.part(item, "quantity")
        timed = self.text(quantity, "code") == "min"
        units = 1.0 if timed or "value" not in quantity else self.number(quantity, "value")
        notes = self.numbers(item, "informationSequence")
        minutes = self.number(quantity, "value") if timed else sum(info.minutes.get(n, 0.0) for n in notes)
        if minutes != int(minutes):
            raise DataError(f"{self.where}: an item has {minutes:g} minutes; whole minutes are billed.")
        net = self.part(item, "net")
        return Line(
            code=next((c for _, c, _ in service if c), ""),
            modifiers=tuple(c for m in self.parts(item, "modifier") for _, c, _ in self.codings({"m": m}, "m")[:1]),
            units=units,
            minutes=int(minutes),
            charge=self.number(net, "value") if net else self.submitted(item),
            pointers=tuple(places[p] for p in linked),
            evidence=tuple(info.evidence[n] for n in notes if n in info.evidence),
        )

    def submitted(self, item: Mapping[str, Any]) -> float:
        """Charge of a line; Blue Button also calls the rate of a revenue centre submitted."""
        found = [(self.codings(a, "category"), a) for a in self.parts(item, "adjudication")]
        charged = [
            a for codes, a in found if any(c.endswith(("_sbmtd_chrg_amt", "_tot_chrg_amt")) for _, c, _ in codes)
        ]
        plain = [a for codes, a in found if [c for _, c, _ in codes] == ["submitted"]]
        return self.number(self.part((charged or plain or [{}])[0], "amount"), "value")

    def charge(self, lines: Sequence[Line]) -> float:
        """Total charge, the sum of the lines where none is stated."""
        total = self.data.get("total", self.data.get("totalCost"))
        if isinstance(total, list):  # ExplanationOfBenefit R4: one total a category
            named = [(self.codings(t, "category"), t) for t in self.parts({"total": total}, "total")]
            total = next((t.get("amount") for codes, t in named if any(c == "submitted" for _, c, _ in codes)), None)
        if total is None:
            return sum(line.charge for line in lines)
        return self.number(self.part({"total": total}, "total"), "value")

    def info(self) -> _Info:
        info = _Info({}, {}, -1, 0, "")
        for s in self.parts(self.data, "supportingInfo"):
            category = {c for _, c, _ in self.codings(s, "category")}
            called = self.text(self.part(s, "code"), "text")
            quantity = self.part(s, "valueQuantity")
            place = self.place(s, "supportingInfo")
            if called == MINUTES:
                info.minutes[place] = self.number(quantity, "value")
            elif any(c.endswith("clm_drg_cd") for c in category):
                self.drg = next((c for _, c, _ in self.codings(s, "code")), "")
            elif "admissionperiod" in category:
                info.days = self.nights(self.part(s, "timingPeriod"))
            elif called == AGE:
                info.age = int(self.number(quantity, "value"))
            elif called == STAY:
                info.days = int(self.number(quantity, "value"))
            elif category & {"discharge", "discharge-status"}:
                info.discharge = next((c for _, c, _ in self.codings(s, "code")), "")
            elif "attachment" in category:
                reference = self.part(s, "valueReference")
                info.evidence[place] = self.text(self.part(reference, "identifier"), "value") or self.text(
                    reference, "reference"
                )
        return info

    def stay(self) -> int:
        return self.nights(self.part(self.data, "hospitalization"))

    def nights(self, stay: Mapping[str, Any]) -> int:
        if not ("start" in stay and "end" in stay):
            return 0
        return (day(self.text(stay, "end"), self.where) - day(self.text(stay, "start"), self.where)).days

    def patient(self, header: Mapping[str, Json]) -> tuple[str, Any, int]:
        """Id, sex, and age where a birth date is in the file."""
        reference = self.text(self.part(self.data, "patient"), "reference")
        person = self.contained(reference) or self.people.get(reference, {})
        sex = {"female": "F", "male": "M"}.get(self.text(person, "gender"), "")
        born, when = self.text(person, "birthDate"), header.get("from") or header.get("thru")
        age = -1
        if len(born) == 10 and when:
            age = age_on(day(born, self.where), day(str(when), self.where), self.where)
        return self.who("patient"), sex, age


@dataclass(slots=True)
class _Info:
    """What supportingInfo adds: minutes and evidence by sequence number, age, length of stay, discharge status."""

    minutes: dict[int, float]
    evidence: dict[int, str]
    age: int
    days: int
    discharge: str
