//! Limits on what a grammar may cost. What exceeds them ends in an error within a second; the numbers beside them are
//! times that llguidance took natively without the limit.

use llguidance::api::ParserLimits;

/// Largest vocabulary. The largest known, Gemma's, has 262,144 tokens.
pub const MAX_TOKENS: u32 = 1 << 20;
/// Longest token in the trie, bytes.
pub const LONGEST_TOKEN: usize = 255;
/// Largest `response_format`, bytes of JSON.
pub const MAX_REQUEST: usize = 128 << 10;
/// Largest Lark grammar, bytes.
pub const MAX_GRAMMAR: usize = 12 << 10;
/// Largest regular expression, bytes, also as a schema's `pattern`. `a?` 10,000 times: more than a minute.
pub const MAX_REGEX: usize = 4 << 10;
/// Deepest nesting of brackets in a regular expression and a Lark grammar. Their parsers recurse.
pub const MAX_DEPTH: usize = 100;
/// Most places that the `$ref`s of a schema name. They are compiled recursively, in the worst case each within another.
pub const MAX_REFERENCES: usize = 256;
/// Most properties of an object, and of all objects. 4000 in one: 3 s; the time grows with the square.
pub const MAX_PROPERTIES: [usize; 2] = [500, 2000];
/// Most `patternProperties` of an object, and of all objects. 300 in one: 5 s; each is compared with each.
pub const MAX_PATTERNS: [usize; 2] = [16, 64];
/// Largest `minItems`, `maxLength` and the like.
pub const MAX_COUNT: u64 = 1_000_000;
/// Largest product of the `multipleOf`s of a schema, in units of the last digit. 7,919,317: three minutes.
pub const MAX_MULTIPLE: u64 = 20_000;
/// Stack of the thread that compiles a grammar natively, bytes. WebAssembly's stack is set where it is linked (build.sh).
#[cfg(not(target_arch = "wasm32"))]
pub const STACK: usize = 64 << 20;

/// Returns the limits of llguidance. The comments name the time that they mean natively; WebAssembly takes twice that.
pub fn parser() -> ParserLimits {
    ParserLimits {
        // The branching of a grammar: an object of 500 optional properties has 500.
        max_items_in_row: 1000,
        // 20 ms. A schema of 3 MB (FHIR) takes half of it.
        initial_lexer_fuel: 1_000_000,
        // 14 ms in each step.
        step_lexer_fuel: 200_000,
        // 2.5 ms in each step.
        step_max_items: 50_000,
        // 100 MB at 2 kB each.
        max_lexer_states: 50_000,
        // Symbols. FHIR has 200,000.
        max_grammar_size: 200_000,
        precompute_large_lexemes: true,
        // Errors go to people, who cannot read the parser's state.
        verbose_errors: false,
    }
}
