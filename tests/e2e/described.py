"""An OpenAPI document at work: answers are checked against it, and requests are made from it, valid
ones and ones that are wrong in one place."""
import copy
import datetime
import json
import re
import string

import jsonschema

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")
VERBS = ("get", "post", "put", "patch", "delete")
FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time")
def is_time(value):
    return not isinstance(value, str) or TIME.fullmatch(value) is not None


def closed(value):
    """The same schemas, but objects that name their members have no others: so that what an answer
    holds and the document leaves out is found."""
    if isinstance(value, list):
        return [closed(part) for part in value]
    if not isinstance(value, dict):
        return value
    out = {key: closed(part) for key, part in value.items()}
    if "object" in str(out.get("type")) and isinstance(out.get("properties"), dict):
        out.setdefault("additionalProperties", False)
    return out


class Described:
    """The document, what it says of a request's answer, and which values are valid."""

    def __init__(self, document):
        self.document = document
        self._strict = closed(document)
        self._validators = {}

    def operations(self):
        for path, item in self.document["paths"].items():
            for verb in VERBS:
                if verb in item:
                    yield verb.upper(), path, item[verb]

    def operation(self, wanted):
        return next(o for o in self.operations() if o[2]["operationId"] == wanted)

    def resolve(self, schema):
        out = dict(schema)
        while "$ref" in out:
            found = self.document
            for key in out.pop("$ref")[2:].split("/"):
                found = found[key]
            out = {**found, **out}
        return out

    def validator(self, schema, strict=False):
        key = (json.dumps(schema, sort_keys=True), strict)
        if key not in self._validators:
            root = self._strict if strict else self.document
            self._validators[key] = jsonschema.Draft202012Validator(
                schema, resolver=jsonschema.RefResolver("", root), format_checker=FORMATS)
        return self._validators[key]

    def body_schema(self, operation):
        return operation["requestBody"]["content"]["application/json"]["schema"]

    def check(self, verb, path, answer):
        """Status, type and body of an answer are documented."""
        operation = self.document["paths"][path][verb.lower()]
        form = operation["responses"].get(str(answer.status))
        assert form, f"{verb} {path} answers {answer.status}, which is not documented: {answer.body[:500]}"
        form = self.resolve(form)
        content = form.get("content")
        if not content:
            assert answer.body == b"", f"{verb} {path}: {answer.status} has a body"
            return
        kind = answer.headers["Content-Type"].split(";")[0]
        assert kind in content, f"{verb} {path}: {kind}"
        value = answer.json if re.search(r"[/+]json$", kind) else answer.body.decode()
        wrong = sorted(self.validator(closed(content[kind]["schema"]), True).iter_errors(value), key=str)
        assert not wrong, f"{verb} {path}: {wrong[0].message} at {list(wrong[0].absolute_path)}"
        for name, header in form.get("headers", {}).items():
            given = answer.headers[name]
            assert given is None or header["schema"]["type"] != "boolean" or given == "true", name
        if answer.status in (201, 202) and "Location" in form.get("headers", {}):
            # A worker is looked up by its name, as any node.
            assert answer.headers["Location"].endswith(("/" + value["id"], "/nodes/" + value.get("name", "")))


class Raw(bytes):
    """JSON text that stands for itself."""


class Maker:
    """Values of a schema, and what is next to them."""

    def __init__(self, described, random):
        self.described = described
        self.random = random
        self.between = 0.0  # of the members of which an object has one, the first

    # -- valid ones --------------------------------------------------------------------------------

    def valid(self, schema, whole=0.5):
        """`whole` is how likely an optional member is there."""
        validator = self.described.validator(schema)
        # Drawn once, not with each attempt: those with fewer members are valid more often, and would be nearly all.
        self.between = self.random.random()
        for attempt in range(1000):
            value = self._value(schema, whole * (1 - attempt / 1000))
            if validator.is_valid(value) and not inconsistent(value):
                return value
        raise AssertionError(f"no valid value of {schema}")

    def _value(self, schema, whole):
        schema = self.described.resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        for choices in ("oneOf", "anyOf"):
            if choices in schema and "properties" not in schema:
                return self._value(self.random.choice(schema[choices]), whole)
        kinds = schema.get("type", ["object", "string", "integer", "null"])
        kind = self.random.choice(kinds if isinstance(kinds, list) else [kinds])
        return getattr(self, "_" + kind)(schema, whole)

    def _object(self, schema, whole):
        needed = set(schema.get("required", ()))
        members = dict(schema.get("properties", {"n": {"type": "integer"}, "äöü ☂": {"type": "string"}}))
        choices = [set(one["required"]) for one in schema.get("oneOf", ())]
        if choices:  # between members
            chosen = choices[int(self.between * len(choices))]
            needed |= chosen
            members = {k: v for k, v in members.items() if k in chosen or not any(k in one for one in choices)}
        return {name: self._value(part, whole) for name, part in members.items()
                if name in needed or self.random.random() < whole}

    def _array(self, schema, whole):
        least, most = schema.get("minItems", 0), min(schema.get("maxItems", 4), 40)
        count = self.random.choice((least, most if most < 10 or self.random.random() < 0.1 else 3, least + 1))
        return [self._value(schema.get("items", {}), whole) for _ in range(count)]

    def _string(self, schema, _):
        if schema.get("format") == "date-time":
            return self.time()
        if "|" in schema.get("pattern", ""):
            words = schema["pattern"].split("(")[1].split(")")[0].split("|")
            return ",".join(self.random.choices(words, k=self.random.randint(1, 4)))
        if "[1-9]" in schema.get("pattern", ""):
            return str(self.random.randint(1, 2**63 - 1))
        least, most = schema.get("minLength", 0), schema.get("maxLength", 20)
        return self.letters(self.random.choice((least, most, min(most, least + 7))))

    def _integer(self, schema, _):
        least, most = schema.get("minimum", -2**63), schema.get("maximum", 2**63 - 1)
        return self.random.choice((least, most, self.random.randint(least, most), least + 1))

    def _number(self, schema, _):
        return self.random.uniform(schema.get("minimum", -1e9), schema.get("maximum", 1e9))

    def _boolean(self, *_):
        return self.random.random() < 0.5

    def _null(self, *_):
        return None

    def letters(self, count):
        return "".join(self.random.choices(string.ascii_letters + string.digits + "._:-", k=count))

    def time(self):
        when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(
            seconds=self.random.randint(3600, 10**8))
        return when.strftime("%Y-%m-%dT%H:%M:%S") + self.random.choice(("Z", ".5Z", ".123456Z", "+01:00", "-11:30"))

    # -- ones that are wrong in one place ------------------------------------------------------------

    def places(self, schema, value, at=()):
        """Where a value may be changed: (path, its schema, what is there)."""
        schema = self.described.resolve(schema)
        while "properties" not in schema and ("oneOf" in schema or "anyOf" in schema):
            choices = schema.pop("oneOf", None) or schema.pop("anyOf")
            fitting = [one for one in choices if self.described.validator(one).is_valid(value)]
            schema = {**schema, **self.described.resolve(fitting[0])}
        yield at, schema, value
        if isinstance(value, dict):
            for name, part in schema.get("properties", {}).items():
                if name in value:
                    yield from self.places(part, value[name], (*at, name))
        if isinstance(value, list) and value and "items" in schema:
            yield from self.places(schema["items"], value[0], (*at, 0))

    def neighbours(self, schema, value):
        """Values to be put in such a place. Which of them are valid, the schema says."""
        yield from (None, True, 0, -1, 1.5, "", "x", [], {}, [value], {"x": value})
        if "minimum" in schema or "maximum" in schema:
            least, most = schema.get("minimum", 0), schema.get("maximum", 0)
            yield from (least - 1, least, least + 1, most - 1, most, most + 1, 2**63 - 1, 2**63, -2**63, 10**30)
        if "maxLength" in schema:
            least, most = schema.get("minLength", 0), schema["maxLength"]
            yield from (self.letters(n) for n in {max(0, least - 1), least, most - 1, most, most + 1, most * 9})
            yield from ("a b", "a/b", "ä", "%00", "a\nb") if "pattern" in schema else ()
        if "maxItems" in schema and isinstance(value, list) and value:
            small = [self.valid(schema["items"], 0)]  # or the body would be too long
            yield small * (schema["maxItems"] + 1)
            if schema["maxItems"] <= 100:
                yield from (small * schema["maxItems"], small * (schema["maxItems"] - 1))
        if isinstance(value, dict):
            yield {**value, "xyzzy": 1}
            yield {**value, "~/\" ä": 1}
            yield from ({k: v for k, v in value.items() if k != name} for name in value)

    def poisons(self):
        """What is wrong wherever it stands."""
        yield from map(Raw, (
            rb'"a\u0000b"', b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', rb'"\ud800"', rb'"\x"', b"1e1000", b"-1e999999",
            b"1" * 600, b"01", b"+1", b"NaN", b"nul", b"'a'", b'"a', b"[" * 65 + b"]" * 65, b"[" * 900, b'{"a":' * 70 + b"1" + b"}" * 70,
            b'{"a":1,"a":2}', b'{"a":{"b":[1,{"c":1,"c":1}]}}', rb'{"\u0000":1}', b'{"a":1,}', b"[1,]", b"/*c*/1"))


def inconsistent(value):
    """What no schema can say: one figure's bound is another figure."""
    if isinstance(value, list):
        return any(map(inconsistent, value))
    if not isinstance(value, dict):
        return False
    if value.get("policy") == "exponential" and value.get("max_ms", 21600000) < value.get("base_ms", 1000):
        return True
    if type(value.get("jobs")) is int and value["jobs"] > 1000 * value.get("period_ms", 1000):
        return True
    return any(inconsistent(part) for name, part in value.items() if name != "args")


def put(value, at, part):
    """A copy with another part in that place."""
    if not at:
        return part
    out = copy.copy(value)
    out[at[0]] = put(value[at[0]], at[1:], part)
    return out


def text_of(value, at=None, raw=None):
    """JSON of the value; with `raw` in that place."""
    if raw is None:
        return json.dumps(value).encode()
    mark = "\u2603here\u2603"
    return json.dumps(put(value, at, mark), ensure_ascii=False).encode().replace(f'"{mark}"'.encode(), raw)


def pointer(at):
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in at)
