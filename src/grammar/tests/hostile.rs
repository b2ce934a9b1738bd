//! Hostile requests end in an error, or are answered, within a second; none panics.

#![allow(missing_docs)]

mod common;

use common::{Random, allowed, tokens, vocabulary};
use llava_grammar::{Constraint, Vocabulary};
use serde_json::{Value, json};
use std::sync::mpsc::channel;
use std::thread::spawn;
use std::time::{Duration, Instant};

fn json_schema(schema: Value) -> String {
    json!({ "type": "json_schema", "json_schema": { "schema": schema } }).to_string()
}
fn regex(regex: &str) -> String {
    json!({ "type": "regex", "regex": regex }).to_string()
}
fn grammar(grammar: &str) -> String {
    json!({ "type": "grammar", "grammar": grammar }).to_string()
}

/// A schema of `depth` arrays within each other, as text: serde_json itself could not drop it.
fn deep(depth: usize) -> String {
    let schema = format!("{}true{}", "{\"type\":\"array\",\"items\":".repeat(depth), "}".repeat(depth));
    format!("{{\"type\":\"json_schema\",\"json_schema\":{{\"schema\":{schema}}}}}")
}

/// Names and texts of requests.
type Requests = Vec<(String, String)>;

fn requests() -> Requests {
    [nested(), combined(), large(), numbers(), expressions(), malformed()].concat()
}

/// Deep nesting, and trees whose paths double with each level.
fn nested() -> Requests {
    let mut all = Requests::new();
    let mut add = |name: &str, request: String| all.push((name.into(), request));
    for depth in [20, 50, 100, 120, 1000, 20_000] {
        add(&format!("deep {depth}"), deep(depth));
    }
    // Each definition refers to the next twice: 2^40 paths.
    for kind in ["anyOf", "allOf", "oneOf"] {
        let mut defs = serde_json::Map::new();
        for i in 0..40 {
            let next = json!({ "$ref": format!("#/$defs/d{}", i + 1) });
            defs.insert(format!("d{i}"), json!({ kind: [next, { "type": "object", "properties": { "a": next } }] }));
        }
        defs.insert("d40".into(), json!({ "type": "object" }));
        add(&format!("doubling {kind}"), json_schema(json!({ "$ref": "#/$defs/d0", "$defs": defs })));
    }
    for kind in ["anyOf", "allOf", "oneOf"] {
        let mut schema = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
        for _ in 0..14 {
            schema = json!({ kind: [schema, schema] });
        }
        add(&format!("tree {kind}"), json_schema(schema));
    }
    all
}

/// Combinations of choices, chains of references, and circles.
fn combined() -> Requests {
    let mut all = Requests::new();
    let mut add = |name: &str, request: String| all.push((name.into(), request));
    // allOf of anyOfs: 3^20 combinations.
    let choices: Vec<Value> = (0..20)
        .map(|i| {
            let choice = |k: i32| json!({ "properties": { format!("p{i}"): { "const": k } } });
            json!({ "anyOf": [choice(0), choice(1), choice(2)] })
        })
        .collect();
    add("product", json_schema(json!({ "type": "object", "allOf": choices })));
    // A chain of references, and circles.
    let mut defs = serde_json::Map::new();
    for i in 0..2000 {
        defs.insert(format!("d{i}"), json!({ "$ref": format!("#/$defs/d{}", i + 1) }));
    }
    defs.insert("d2000".into(), json!({ "type": "integer" }));
    add("chain", json_schema(json!({ "$ref": "#/$defs/d0", "$defs": defs })));
    let mut defs = serde_json::Map::new();
    for i in 0..2000 {
        let next = json!({ "$ref": format!("#/$defs/d{}", i + 1) });
        defs.insert(format!("d{i}"), json!({ "allOf": [next, { "type": "object" }] }));
    }
    defs.insert("d2000".into(), json!({ "type": "object" }));
    add("chain of allOf", json_schema(json!({ "$ref": "#/$defs/d0", "$defs": defs })));
    add("circle", json_schema(json!({ "$ref": "#" })));
    let circle = json!({ "allOf": [{ "$ref": "#/$defs/b" }, { "type": "object" }] });
    let back = json!({ "allOf": [{ "$ref": "#/$defs/a" }, { "type": "object" }] });
    add("circle of allOf", json_schema(json!({ "$ref": "#/$defs/a", "$defs": { "a": circle, "b": back } })));
    all
}

/// Much of everything that has a size.
fn large() -> Requests {
    let mut all = Requests::new();
    let mut add = |name: &str, request: String| all.push((name.into(), request));
    let properties: serde_json::Map<String, Value> =
        (0..4000).map(|i| (format!("property{i}"), json!({ "type": "integer", "minimum": i }))).collect();
    add("optional properties", json_schema(json!({ "type": "object", "properties": properties })));
    let names: Vec<&String> = properties.keys().collect();
    add("required properties", json_schema(json!({ "type": "object", "properties": properties, "required": names })));
    let values: Vec<String> = (0..10_000).map(|i| format!("value {i}")).collect();
    add("enum", json_schema(json!({ "enum": values })));
    add("string of a million", json_schema(json!({ "type": "string", "maxLength": 1_000_000 })));
    add("string of ten thousand", json_schema(json!({ "type": "string", "minLength": 9_000, "maxLength": 10_000 })));
    add("string of 2^60", json_schema(json!({ "type": "string", "minLength": 1u64 << 60 })));
    for items in [9_000u64, 1 << 20, 1 << 31, 1 << 60] {
        let items = json!({ "type": "array", "items": { "type": "integer" }, "minItems": items, "maxItems": items });
        add(&format!("array {}", items["minItems"]), json_schema(items));
    }
    let mut nested = json!({ "type": "integer" });
    for _ in 0..6 {
        nested = json!({ "type": "array", "items": nested, "minItems": 100, "maxItems": 100 });
    }
    add("arrays of arrays", json_schema(nested));
    for n in [500, 1000] {
        let properties: serde_json::Map<String, Value> = properties.clone().into_iter().take(n).collect();
        add(&format!("{n} properties"), json_schema(json!({ "type": "object", "properties": properties })));
    }
    let object = |prefix: &str| {
        let fields: serde_json::Map<String, Value> =
            (0..500).map(|i| (format!("{prefix}{i}"), json!({ "type": "boolean" }))).collect();
        json!({ "type": "object", "properties": fields })
    };
    let all_of: Vec<Value> = ["a", "b", "c"].map(object).into();
    add("properties of all", json_schema(json!({ "allOf": all_of })));
    add("properties of any", json_schema(json!({ "anyOf": all_of })));
    let patterns: serde_json::Map<String, Value> =
        (0..16).map(|i| (format!("^{i}x.*a.{{10}}$"), json!({ "type": "integer" }))).collect();
    let one = json!({ "type": "object", "patternProperties": patterns });
    add("pattern properties within the limit", json_schema(json!({ "anyOf": [one, one, one, one] })));
    add("properties counted", json_schema(json!({ "type": "object", "minProperties": 100_000 })));
    all
}

/// Bounds and steps of numbers.
fn numbers() -> Requests {
    let mut all = Requests::new();
    let mut add = |name: &str, request: String| all.push((name.into(), request));
    add("numbers", json_schema(json!({ "type": "number", "minimum": 1e-300, "maximum": 1e300, "multipleOf": 1e-200 })));
    for n in [97, 997, 9973] {
        add(&format!("multiple of {n}"), json_schema(json!({ "type": "integer", "multipleOf": n })));
    }
    add("integers", json_schema(json!({ "type": "integer", "multipleOf": 7_919_317 })));
    add(
        "multiples",
        json_schema(
            json!({ "allOf": (1..60).map(|i| json!({ "type": "integer", "multipleOf": 2 * i + 1 })).collect::<Vec<_>>() }),
        ),
    );
    for (low, high) in [(1e-300, 1e300), (-9.3e18, 9.3e18), (-1e14, 1e14), (1e-9, 1e-8), (-1e-11, 123456789.123456)] {
        for kind in ["number", "integer"] {
            let schema = json!({ "type": kind, "minimum": low, "exclusiveMaximum": high });
            add(&format!("{kind} {low} to {high}"), json_schema(schema));
        }
    }
    add("integer bounds", json_schema(json!({ "type": "integer", "minimum": -1e308, "maximum": 1e308 })));
    all
}

/// Regular expressions, by themselves and in schemas, and grammars.
fn expressions() -> Requests {
    let mut all = Requests::new();
    let mut add = |name: &str, request: String| all.push((name.into(), request));
    for pattern in patterns() {
        add(
            &format!("pattern {}", &pattern[..pattern.len().min(30)]),
            json_schema(json!({ "type": "string", "pattern": pattern })),
        );
        add(&format!("regex {}", &pattern[..pattern.len().min(30)]), regex(&pattern));
    }
    let patterns: serde_json::Map<String, Value> =
        (0..300).map(|i| (format!("^{i}x.*a.{{10}}$"), json!({ "type": "integer" }))).collect();
    add("pattern properties", json_schema(json!({ "type": "object", "patternProperties": patterns })));
    for (name, text) in grammars() {
        add(name, grammar(&text));
    }
    all
}

/// Not what it should be.
fn malformed() -> Requests {
    let mut all = Requests::new();
    let mut add = |name: &str, request: String| all.push((name.into(), request));
    for text in
        ["", "null", "[]", "{}", "{\"type\":\"xml\"}", "{\"type\":\"json_schema\"}", "{\"type\":\"regex\",\"regex\":7}"]
    {
        add(&format!("malformed {text}"), text.to_owned());
    }
    for schema in [
        json!(7),
        json!([]),
        json!(null),
        json!("x"),
        json!(false),
        json!({ "type": "thing" }),
        json!({ "$ref": "#/nowhere" }),
        json!({ "$ref": "https://example.org/schema" }),
        json!({ "not": {} }),
        json!({ "enum": [] }),
        json!({ "type": "integer", "minimum": 5, "maximum": 4 }),
        json!({ "x-guidance": { "whitespace_pattern": "((((" } }),
    ] {
        add(&format!("schema {schema}"), json_schema(schema));
    }
    all
}

fn patterns() -> Vec<String> {
    vec![
        "(a|aa)+$".into(),
        "(a{1000}){1000}".into(),
        "((a{100}){100}){100}".into(),
        "a{1000000000}".into(),
        "(x+x+)+y".into(),
        "(.*a.{20})".into(),
        "(.*a.{30}){3}".into(),
        "(?:.*[a-m].{12}|.*[f-z].{13}|.*[0-9].{11})&".into(),
        "(".repeat(50_000),
        format!("{}a{}", "(".repeat(90), ")".repeat(90)),
        format!("{}a{}", "(".repeat(240), ")".repeat(240)),
        "a?".repeat(2_000),
        "(a|b)?".repeat(680),
        "(.|ab)?".repeat(580),
        "[a-z]{0,50}".repeat(370),
        "a?".repeat(10_000),
        "(a|b|c|d)?".repeat(5_000),
        "[".repeat(50_000),
        "\\p{L}{1,2000}".into(),
        "(\\p{L}|\\p{N}){500,1000}x(\\p{L}){500}".into(),
        "(?=a)b".into(),
        "\\1(a)".into(),
        "*".into(),
        "\\".into(),
        "/".into(),
        "x".repeat(60_000),
        "x".repeat(1_000_000),
        "".into(),
    ]
}

fn grammars() -> Vec<(&'static str, String)> {
    let rules: String =
        (0..3000).map(|i| format!("r{i}: r{} | \"{i}\" r{}\n", (i + 1) % 3000, (i * 7) % 3000)).collect();
    let doubling: String =
        (0..60).map(|i| format!("r{i}: r{0} r{0}\n", i + 1)).chain(["r60: \"a\"\n".to_owned()]).collect();
    vec![
        ("lark empty", String::new()),
        ("lark left recursion", "start: start start | \"a\" | \"\"".into()),
        ("lark infinite", "start: start".into()),
        ("lark ambiguous", "start: e\ne: e e e | e e | \"a\" | \"ab\" | \"b\"".into()),
        ("lark deep", format!("start: {}\"a\"{}", "(".repeat(30_000), ")".repeat(30_000))),
        ("lark 90 deep", format!("start: {}\"a\"{}", "(".repeat(90), ")".repeat(90))),
        ("lark rules", format!("start: r0\n{rules}")),
        ("lark doubling", format!("start: r0\n{doubling}")),
        ("lark repeat", "start: (\"a\" | \"b\" \"c\"){1000000}".into()),
        ("lark repeat of repeats", "start: a{1000}\na: b{1000}\nb: c{1000}\nc: \"x\" | \"y\"".into()),
        ("lark terminals", "start: A\nA: B B\nB: C C\nC: /(.*x.{15})/".into()),
        ("lark recursive terminal", "start: A\nA: B\nB: A".into()),
        ("lark alternatives", format!("start: {}", vec!["\"a\""; 9_000].join("|"))),
        ("lark items", format!("start: {}", vec!["A?"; 9_000].join(" ")) + "\nA: \"a\""),
        ("lark 5000 items", format!("start: {}", vec!["A?"; 5_000].join(" ")) + "\nA: \"a\""),
        (
            "lark 1000 rules",
            format!("start: r0\n{}r1000: \"a\"", (0..1000).map(|i| format!("r{i}:r{}\n", i + 1)).collect::<String>()),
        ),
        (
            "lark 1000 terminals",
            format!("start: R0\n{}R1000: \"a\"", (0..1000).map(|i| format!("R{i}:R{}\n", i + 1)).collect::<String>()),
        ),
        (
            "lark 1000 either",
            format!(
                "start: r0\n{}r1000: \"a\"",
                (0..1000).map(|i| format!("r{i}:r{}|\"b\"\n", i + 1)).collect::<String>()
            ),
        ),
        ("lark substring", format!("start: %regex {{ \"substring_chars\": \"{}\" }}", "abcab ".repeat(2500))),
        ("lark undefined", "start: nothing".into()),
        ("lark json", "start: %json { \"type\": \"array\", \"minItems\": 1000000 }".into()),
        (
            "lark json x-guidance",
            "start: %json { \"x-guidance\": { \"whitespace_pattern\": \"(a{1000}){1000}\" } }".into(),
        ),
        ("lark regex", "start: %regex { \"substring_chars\": \"abc\" }".into()),
        ("lark binary", "\u{0}\u{1}\u{fffd}".into()),
        ("lark special token", "start: <|im_end|> \"a\"".into()),
        ("lark token ids", "start: <[0-100000000]> \"a\"".into()),
        ("lark strings", format!("start: \"{}\"", "x".repeat(60_000))),
        ("lark not", "start: A\nA: ~/(.*x.{20})/ & /[a-z]{1,200}/".into()),
    ]
}

/// Longest time of a request, and of a step.
const LIMIT: Duration = Duration::from_secs(1);
const STEPS: usize = 20;

/// Compiles a request and takes random steps; returns what came of it and the longest time of both.
fn outcome(vocabulary: &Vocabulary, request: &str) -> (String, [Duration; 2]) {
    let start = Instant::now();
    let compiled = Constraint::new(vocabulary, request);
    let mut times = [start.elapsed(), Duration::ZERO];
    let mut constraint = match compiled {
        Ok(constraint) => constraint,
        Err(error) => return (error.to_string(), times),
    };
    let (mut words, mut random) = (vec![0; vocabulary.words()], Random(7));
    for step in 0..STEPS {
        let start = Instant::now();
        if let Err(error) = constraint.mask(&mut words) {
            return (format!("step {step}: {error}"), times);
        }
        let allowed = allowed(&words);
        assert!(!allowed.is_empty(), "{request}: no token is allowed in step {step}");
        let ended = constraint.accept(allowed[random.below(allowed.len())]);
        times[1] = times[1].max(start.elapsed());
        match ended {
            Ok(false) => {}
            Ok(true) => return (format!("ended in step {step}"), times),
            Err(error) => return (format!("step {step}: {error}"), times),
        }
    }
    ("goes on".into(), times)
}

#[test]
fn hostile_requests_end_within_a_second() {
    let vocabulary: &'static Vocabulary = Box::leak(Box::new(vocabulary(&tokens(49_152))));
    let mut bad = Vec::new();
    let (mut refused, requests) = (0, requests());
    let count = requests.len();
    for (name, request) in requests {
        // In a thread, so that one that never ends fails the test, too.
        let (send, receive) = channel();
        spawn(move || send.send(outcome(vocabulary, &request)));
        let (text, times) = receive.recv_timeout(10 * LIMIT).unwrap_or(("never ends".into(), [10 * LIMIT; 2]));
        let [compiled, step] = times.map(|time| time.as_millis());
        eprintln!("{compiled:5} {step:5} ms  {name}: {}", &text[..text.floor_char_boundary(110)].replace('\n', " "));
        refused += usize::from(text.contains(": "));
        if times.iter().any(|time| *time > LIMIT) || text.contains("llguidance failed") {
            bad.push(format!("{name}: {times:?} {text}"));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
    eprintln!("{refused} of {count} are refused");
    assert!(refused > 50);
}
