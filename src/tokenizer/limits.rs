//! Limits of the pipelines of `tokenizer.json`: a file of a kilobyte can hold a chain of replacements that doubles a
//! text forty times, or expressions that compile to gigabytes.

use crate::error::Result;
use crate::{ensure, fail};
use serde_json::Value;

/// Most steps of all pipelines together; deepseek-llm, the longest, has a dozen.
const MAX_STEPS: usize = 64;
/// Most bytes that one byte of a text may become on its way through one pipeline. NFKC (11), `▁` (3) and bytes as
/// letters (2) together: 66.
const MAX_GROWTH: u64 = 1024;
/// Longest text that a step inserts, bytes.
const MAX_CONTENT: usize = 256;
/// Longest regular expressions together, bytes: compiled, a class of letters takes some ten thousand times as much.
const MAX_PATTERNS: usize = 8192;
/// Highest count of a repetition, which multiplies what stands before it; Llama 3's numbers have `{1,3}`.
const MAX_REPEATS: u32 = 8;
/// Most tokens that a post-processor puts around a text.
const MAX_AROUND: usize = 64;

/// Sums over the pipelines that have been checked.
#[derive(Default)]
pub(super) struct Limits {
    steps: usize,
    patterns: usize,
}

impl Limits {
    /// Checks one pipeline: the normalizer, say.
    ///
    /// # Errors
    /// [`Kind::Tokenizer`](crate::error::Kind::Tokenizer), naming the pipeline.
    pub(super) fn check(&mut self, name: &str, pipeline: &Value) -> Result<()> {
        let place = format!("{}: {name}", super::FILE);
        let growth = self.growth(&place, pipeline)?;
        ensure!(
            growth <= MAX_GROWTH,
            Tokenizer,
            place,
            "makes {growth} bytes of one; at most {MAX_GROWTH} are allowed"
        );
        Ok(())
    }

    /// Returns the bytes that one byte may become in a step.
    fn growth(&mut self, place: &str, step: &Value) -> Result<u64> {
        self.steps += 1;
        ensure!(self.steps <= MAX_STEPS, Tokenizer, place, "there are more than {MAX_STEPS} parts of pipelines");
        let kind = step.get("type").and_then(Value::as_str).unwrap_or_default();
        let text = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default();
        let content = text("content").len().max(text("prepend").len());
        ensure!(content <= MAX_CONTENT, Tokenizer, place, "puts {content} bytes in; at most {MAX_CONTENT} are allowed");
        let expression = step.get("pattern").and_then(|p| p.get("Regex")).and_then(Value::as_str);
        if let Some(expression) = expression {
            self.expression(place, expression)?;
        }
        self.around(place, step)?;
        let own = match kind {
            "Replace" => {
                let literal = step.get("pattern").and_then(|p| p.get("String")).and_then(Value::as_str);
                match literal {
                    Some(literal) => content.div_ceil(literal.len().max(1)).max(1) as u64,
                    // An expression may match nothing, between any two letters.
                    None => content as u64 + 1,
                }
            }
            "NFKC" | "NFKD" => 11,
            "NFC" | "NFD" | "Metaspace" => 3,
            "ByteLevel" | "Lowercase" => 2,
            _ => 1,
        };
        let lists = ["normalizers", "pretokenizers", "processors", "decoders"];
        let inner = lists.iter().filter_map(|key| step.get(key)?.as_array()).flatten();
        let mut growth = own;
        for step in inner {
            growth = growth.saturating_mul(self.growth(place, step)?);
        }
        Ok(growth)
    }

    /// Checks a regular expression: its length, and the counts of its repetitions.
    fn expression(&mut self, place: &str, expression: &str) -> Result<()> {
        self.patterns += expression.len();
        ensure!(
            self.patterns <= MAX_PATTERNS,
            Tokenizer,
            place,
            "regular expressions of more than {MAX_PATTERNS} bytes together"
        );
        for (at, _) in expression.match_indices('{') {
            let counts = expression[at + 1..].split('}').next().unwrap_or_default();
            // `\p{L}` has a name in braces, `\x{3000}` a character, `{1,3}` has numbers.
            if ["\\x", "\\u", "\\U"].iter().any(|escape| expression[..at].ends_with(escape)) {
                continue;
            }
            let numeric = counts.starts_with(|c: char| c.is_ascii_digit() || c == ',' || c.is_whitespace());
            let small = |n: &str| n.trim().is_empty() || n.trim().parse().is_ok_and(|n: u32| n <= MAX_REPEATS);
            let of_group = expression[..at].ends_with([')', '}', '*', '+', '?']) && !expression[..at].ends_with("\\)");
            // `\p{N}{1,3}` repeats a class, whose name ends in a brace too.
            let class = expression[..at].rfind('{').is_some_and(|open| {
                expression[..at].ends_with('}') && ["\\p", "\\P"].iter().any(|p| expression[..open].ends_with(p))
            });
            if numeric && (!counts.split(',').all(small) || of_group && !class) {
                fail!(
                    Tokenizer,
                    place,
                    "repetitions of groups, and of more than {MAX_REPEATS} times, are not implemented (`{{{counts}}}`)"
                );
            }
        }
        Ok(())
    }

    /// Checks the number of tokens that a `TemplateProcessing` puts around a text.
    fn around(&self, place: &str, step: &Value) -> Result<()> {
        let length = |value: Option<&Value>| value.and_then(Value::as_array).map_or(0, Vec::len);
        let ids = step.get("special_tokens").and_then(Value::as_object);
        let ids = ids.into_iter().flat_map(|tokens| tokens.values()).map(|token| length(token.get("ids"))).max();
        let tokens = ["single", "pair"].map(|key| length(step.get(key)).saturating_mul(ids.unwrap_or(1).max(1)));
        let most = tokens[0].max(tokens[1]);
        ensure!(
            most <= MAX_AROUND,
            Tokenizer,
            place,
            "puts {most} tokens around a text; at most {MAX_AROUND} are allowed"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(pipeline: Value) -> Option<String> {
        Limits::default().check("x", &pipeline).err().map(|e| e.message)
    }

    fn split(expression: &str) -> Value {
        json!({"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": false})
    }

    #[test]
    fn pipelines_of_checkpoints_are_allowed() {
        let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let level = json!({"type": "ByteLevel", "add_prefix_space": false});
        for pipeline in [
            json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]}),
            json!({"type": "Sequence", "normalizers": [{"type": "NFKC"}, replace]}),
            json!({"type": "Sequence", "pretokenizers": [split(r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|a{2}"), level]}),
            json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}),
            split(r"[\p{P}\$\+<=>\^~\|]+|\x{3000}"),
        ] {
            assert_eq!(refusal(pipeline), None);
        }
    }

    #[test]
    fn chains_that_multiply_a_text_are_refused() {
        let twice = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
        let empty = json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "aaaa"});
        let level = json!({"type": "ByteLevel"});
        for part in [twice, empty, level] {
            let chain = |n: usize| json!({"type": "Sequence", "normalizers": vec![part.clone(); n]});
            assert_eq!(refusal(chain(4)), None);
            assert!(refusal(chain(40)).unwrap().contains("bytes of one"));
            assert!(refusal(chain(400)).unwrap().contains("parts"));
        }
        let long = json!({"type": "Prepend", "prepend": "a".repeat(300)});
        assert!(refusal(long).unwrap().contains("300 bytes"));
    }

    #[test]
    fn expressions_that_compile_to_much_are_refused() {
        for expression in
            [r"\p{L}{100}", "a{9}", "(a{8}){8}", "(?:a){2}", "a{8}{8}", "[a]+{2}", "a{1,99999999999}", "a{9,}"]
        {
            assert!(refusal(split(expression)).is_some(), "{expression}");
        }
        assert!(refusal(split(&"a".repeat(9000))).is_some());
    }

    #[test]
    fn templates_that_surround_a_text_with_much_are_refused() {
        let template = |pieces: usize, ids: usize| {
            json!({"type": "TemplateProcessing", "single": vec![json!({"SpecialToken": {"id": "<s>"}}); pieces],
                "special_tokens": {"<s>": {"id": "<s>", "ids": vec![1; ids], "tokens": vec!["<s>"; ids]}}})
        };
        assert_eq!(refusal(template(8, 8)), None);
        assert!(refusal(template(65, 1)).is_some() && refusal(template(9, 9)).is_some());
    }
}
