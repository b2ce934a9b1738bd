//! Checks of a request before llguidance sees it: on what is refused here, it takes long, recurses deeply, or panics.

use crate::limits::{
    MAX_COUNT, MAX_DEPTH, MAX_GRAMMAR, MAX_MULTIPLE, MAX_PATTERNS, MAX_PROPERTIES, MAX_REFERENCES, MAX_REGEX,
};
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const SCHEMA: &str = "json_schema";

/// Checks the size and the nesting of a regular expression.
pub fn regex(place: &'static str, regex: &str) -> Result<()> {
    check(place, regex.len() <= MAX_REGEX, || format!("{} bytes; {MAX_REGEX} are possible", regex.len()))?;
    // Brackets in character classes count, too: no expression in use has a hundred of them open.
    let mut depth = 0usize;
    regex.bytes().try_for_each(|byte| nest(place, byte, &mut depth))
}

/// Checks a Lark grammar: its size, its nesting, and that it has no `%json` and no special tokens.
pub fn grammar(text: &str) -> Result<()> {
    const PLACE: &str = "grammar";
    check(PLACE, text.len() <= MAX_GRAMMAR, || format!("{} bytes; {MAX_GRAMMAR} are possible", text.len()))?;
    let (mut bytes, mut depth) = (text.bytes().peekable(), 0);
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' if bytes.peek() == Some(&b'/') => drop(bytes.by_ref().find(|byte| *byte == b'\n')),
            b'#' => drop(bytes.by_ref().find(|byte| *byte == b'\n')),
            b'"' | b'/' => {
                let quote = byte;
                while let Some(byte) = bytes.next().filter(|byte| *byte != quote && *byte != b'\n') {
                    if byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            b'<' => return Err(Error::new(PLACE, "special tokens (`<…>`) are not possible")),
            byte => nest(PLACE, byte, &mut depth)?,
        }
    }
    check(PLACE, !text.contains("%json"), || "`%json` is not possible; use the type json_schema".into())
}

fn nest(place: &'static str, byte: u8, depth: &mut usize) -> Result<()> {
    match byte {
        b'(' | b'[' | b'{' => *depth += 1,
        b')' | b']' | b'}' => *depth = depth.saturating_sub(1),
        _ => {}
    }
    check(place, *depth <= MAX_DEPTH, || format!("brackets are nested more than {MAX_DEPTH} deep"))
}

/// Checks the numbers and sizes of a JSON schema. Constants that look like schemas are counted as such.
pub fn schema(schema: &Value) -> Result<()> {
    let mut counts = Counts { multiples: 1, ..Counts::default() };
    counts.walk(schema)?;
    let Counts { references, properties, patterns, .. } = counts;
    let most = |what: &str, count: usize, limit: usize| {
        check(SCHEMA, count <= limit, || format!("{count} {what}; {limit} are possible"))
    };
    most("places named by `$ref`", references.len(), MAX_REFERENCES)?;
    most("properties", properties, MAX_PROPERTIES[1])?;
    most("patternProperties", patterns, MAX_PATTERNS[1])
}

/// What a schema has of the expensive things.
#[derive(Default)]
struct Counts<'a> {
    references: BTreeSet<&'a str>,
    properties: usize,
    patterns: usize,
    /// Distinct `multipleOf`s, and their product.
    known_multiples: BTreeSet<u64>,
    multiples: u64,
}

impl<'a> Counts<'a> {
    /// Walks the schema. The parser of JSON has bounded the recursion.
    fn walk(&mut self, value: &'a Value) -> Result<()> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.walk(item)),
            Value::Object(fields) => {
                self.object(fields)?;
                fields.values().try_for_each(|field| self.walk(field))
            }
            _ => Ok(()),
        }
    }

    fn object(&mut self, fields: &'a Map<String, Value>) -> Result<()> {
        self.references.extend(fields.get("$ref").and_then(Value::as_str));
        let size = |key: &str| fields.get(key).and_then(Value::as_object).map_or(0, Map::len);
        for (key, [limit, _]) in [("properties", MAX_PROPERTIES), ("patternProperties", MAX_PATTERNS)] {
            check(SCHEMA, size(key) <= limit, || format!("{} {key} of an object; {limit} are possible", size(key)))?;
        }
        self.properties += size("properties");
        self.patterns += size("patternProperties");
        if let Some(pattern) = fields.get("pattern").and_then(Value::as_str) {
            regex("pattern", pattern)?;
        }
        for pattern in fields.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            regex("patternProperties", pattern)?;
        }
        for key in ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"] {
            let count = fields.get(key).filter(|count| count.is_number());
            let possible = |count: &Value| count.as_u64().is_some_and(|count| count <= MAX_COUNT);
            check(SCHEMA, count.is_none_or(possible), || format!("{key} is no integer from 0 to {MAX_COUNT}"))?;
        }
        for key in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] {
            // Beyond these, llguidance's arithmetic overflows.
            let possible = |bound: f64| bound == 0.0 || (1e-12..1e15).contains(&bound.abs());
            let bound = fields.get(key).and_then(Value::as_f64);
            check(SCHEMA, bound.is_none_or(possible), || format!("{key} is not 0 or between 1e-12 and 1e15"))?;
        }
        fields.get("multipleOf").and_then(Value::as_f64).map_or(Ok(()), |step| self.multiple(step))
    }

    /// Counts a `multipleOf`: an automaton with a state for each remainder, and for those of several together.
    fn multiple(&mut self, step: f64) -> Result<()> {
        let units = (0..=9).map(|digits| step * 10f64.powi(digits)).find(|units| (units - units.round()).abs() < 1e-9);
        let units = units.filter(|units| (1.0..=MAX_MULTIPLE as f64).contains(units)).map(|units| units.round() as u64);
        let Some(units) = units else {
            return Err(Error::new(SCHEMA, format!("multipleOf {step} is not possible")));
        };
        if self.known_multiples.insert(units) {
            self.multiples = self.multiples.saturating_mul(units);
        }
        let limit = MAX_MULTIPLE;
        check(SCHEMA, self.multiples <= limit, || format!("the product of its multipleOfs is more than {limit}"))
    }
}

fn check(place: &'static str, condition: bool, message: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { Err(Error::new(place, message())) }
}
