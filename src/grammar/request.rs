//! `response_format`, as OpenAI's interface has it, with regular expressions and Lark grammars in addition.

use crate::limits::MAX_REQUEST;
use crate::{Error, Result, check, formats};
use llguidance::api::TopLevelGrammar;
use serde::Deserialize;
use serde_json::{Value, json};

const PLACE: &str = "response_format";

/// White space between the tokens of JSON: none, one space, or a line break with an indentation. It is bounded, so that
/// a small model cannot write it for ever.
const WHITE_SPACE: &str = r" |\n {0,24}";

/// A `response_format`.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Request {
    JsonObject,
    JsonSchema { json_schema: NamedSchema },
    Regex { regex: String },
    Grammar { grammar: String },
}

/// A schema with OpenAI's name, description and `strict`, which change nothing here.
#[derive(Deserialize)]
struct NamedSchema {
    schema: Value,
}

/// Parses a `response_format` and returns the grammar of its answers.
///
/// # Errors
/// When it is no JSON, is larger than the limits, or is of an unknown type.
pub fn parse(text: &str) -> Result<TopLevelGrammar> {
    if text.len() > MAX_REQUEST {
        return Err(Error::new(PLACE, format!("{} bytes; {MAX_REQUEST} are possible", text.len())));
    }
    // The parser stops at 128 levels of nesting.
    let request: Request = serde_json::from_str(text).map_err(|error| Error::new(PLACE, error))?;
    match request {
        Request::JsonObject => schema(json!({ "type": "object" })),
        Request::JsonSchema { json_schema } => schema(json_schema.schema),
        Request::Regex { regex } => {
            check::regex("regex", &regex)?;
            Ok(TopLevelGrammar::from_regex(&regex))
        }
        Request::Grammar { grammar } => {
            check::grammar(&grammar)?;
            Ok(TopLevelGrammar::from_lark(grammar))
        }
    }
}

/// Returns the grammar of a JSON schema.
fn schema(mut schema: Value) -> Result<TopLevelGrammar> {
    check::schema(&schema)?;
    formats::refine(&mut schema);
    let options = json!({ "whitespace_pattern": WHITE_SPACE });
    match &mut schema {
        // A schema's own options for llguidance are not ours to follow.
        Value::Object(fields) => drop(fields.insert("x-guidance".into(), options)),
        Value::Bool(true) => schema = json!({ "x-guidance": options }),
        _ => return Err(Error::new("json_schema", "a schema is an object")),
    }
    Ok(TopLevelGrammar::from_json_schema(schema))
}
