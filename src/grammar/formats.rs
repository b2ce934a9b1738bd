//! Formats of dates and times, more exactly than llguidance knows them: it allows the 29th of February in every year and
//! a leap second at any time, which validators refuse.

use serde_json::Value;

/// Years divisible by 4, but by 100 only where by 400.
const LEAP_YEAR: &str = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)";
/// Dates, except the 29th of February in other years. llguidance's format checks the rest.
const MONTH_AND_DAY: &str = "[0-9]{4}-((0[13-9]|1[0-2])-[0-9]{2}|02-([01][0-9]|2[0-8]))";
/// Times without a leap second.
const TIME: &str = "[0-9]{2}:[0-9]{2}:[0-5]";

/// Adds a pattern to each string of a schema that has such a format and no pattern of its own.
pub fn refine(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(refine),
        Value::Object(fields) => {
            let format = fields.get("format").and_then(Value::as_str).filter(|_| !fields.contains_key("pattern"));
            let date = format!("({MONTH_AND_DAY}|{LEAP_YEAR}-02-29)");
            let pattern = match format {
                Some("date") => Some(format!("^{date}$")),
                Some("time") => Some(format!("^{TIME}")),
                Some("date-time") => Some(format!("^{date}[tT]{TIME}")),
                _ => None,
            };
            if let Some(pattern) = pattern {
                fields.insert("pattern".into(), pattern.into());
            }
            // Constants are no schemas, whatever they look like.
            let parts =
                fields.iter_mut().filter(|(key, _)| !["const", "enum", "default", "examples"].contains(&&***key));
            parts.for_each(|(_, part)| refine(part));
        }
        _ => {}
    }
}
