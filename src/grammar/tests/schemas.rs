//! Forty kinds of JSON schemas: what a constraint allows is what `jsonschema`, another implementation, calls valid.

#![allow(missing_docs)]

mod common;

use common::{Random, allowed, random_answer, tokens, vocabulary};
use llava_grammar::{Constraint, Vocabulary};
use serde::Deserialize;
use serde_json::{Value, json};

/// A schema of `schemas.json`, with values that it allows and others.
#[derive(Deserialize)]
struct Case {
    name: String,
    schema: Value,
    good: Vec<Value>,
    bad: Vec<Value>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("schemas.json")).unwrap()
}

fn constraint(vocabulary: &Vocabulary, schema: &Value) -> Constraint {
    let request = json!({ "type": "json_schema", "json_schema": { "name": "x", "strict": true, "schema": schema } });
    Constraint::new(vocabulary, &request.to_string()).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::options().should_validate_formats(true).build(schema).unwrap()
}

/// Whether a text, cut into the longest tokens, is an answer.
fn accepts(vocabulary: &Vocabulary, tokens: &[Vec<u8>], mut constraint: Constraint, text: &str) -> bool {
    let (mut rest, mut words) = (text.as_bytes(), vec![0; vocabulary.words()]);
    let end = tokens.len() as u32 - 1;
    while !rest.is_empty() {
        let fits = |id: &usize| !tokens[*id].is_empty() && rest.starts_with(&tokens[*id]);
        let id = (0..tokens.len()).filter(fits).max_by_key(|id| tokens[*id].len()).unwrap();
        constraint.mask(&mut words).unwrap();
        if !allowed(&words).contains(&(id as u32)) {
            return false;
        }
        rest = &rest[tokens[id].len()..];
        if constraint.accept(id as u32).unwrap() {
            return rest.is_empty();
        }
    }
    constraint.mask(&mut words).unwrap();
    allowed(&words).contains(&end)
}

#[test]
fn values_are_answers_where_the_schema_allows_them() {
    let tokens = tokens(2048);
    let vocabulary = vocabulary(&tokens);
    let cases = cases();
    assert!(cases.len() >= 40);
    for case in &cases {
        let validator = validator(&case.schema);
        let accepts = |text: &str| accepts(&vocabulary, &tokens, constraint(&vocabulary, &case.schema), text);
        for (values, expected) in [(&case.good, true), (&case.bad, false)] {
            for value in values {
                assert_eq!(validator.is_valid(value), expected, "{}: jsonschema about {value}", case.name);
                assert_eq!(accepts(&value.to_string()), expected, "{}: {value}", case.name);
                let pretty = serde_json::to_string_pretty(value).unwrap();
                assert_eq!(accepts(&pretty), expected, "{}: {pretty}", case.name);
            }
        }
        let cut = case.good[0].to_string();
        assert!(
            cut.len() < 3 || !accepts(&cut[..cut.floor_char_boundary(cut.len() - 1)]),
            "{}: a part of {cut}",
            case.name
        );
    }
}

#[test]
fn random_answers_are_valid() {
    let tokens = tokens(2048);
    let vocabulary = vocabulary(&tokens);
    let mut random = Random(3);
    let (mut ended, mut all) = (0, 0);
    for case in cases() {
        let validator = validator(&case.schema);
        for _ in 0..40 {
            let mut constraint = constraint(&vocabulary, &case.schema);
            let (text, end) = random_answer(&vocabulary, &tokens, &mut constraint, &mut random, 400);
            all += 1;
            if !end {
                continue;
            }
            ended += 1;
            let value: Value = serde_json::from_slice(&text)
                .unwrap_or_else(|error| panic!("{}: {error}: {}", case.name, String::from_utf8_lossy(&text)));
            let valid = validator.validate(&value).map_err(|error| error.to_string());
            assert_eq!(valid, Ok(()), "{}: {value}", case.name);
        }
    }
    eprintln!("{ended} of {all} random answers ended");
    assert!(ended * 100 >= all * 95, "{ended} of {all} ended");
}

#[test]
fn objects_expressions_and_grammars_are_followed() {
    let tokens = tokens(2048);
    let vocabulary = vocabulary(&tokens);
    let accepts = |request: Value, text: &str| {
        accepts(&vocabulary, &tokens, Constraint::new(&vocabulary, &request.to_string()).unwrap(), text)
    };
    let object = json!({ "type": "json_object" });
    for (text, expected) in [("{}", true), ("{\"a\": [1, {\"b\": null}]}", true), ("[1]", false), ("{\"a\"}", false)] {
        assert_eq!(accepts(object.clone(), text), expected, "{text}");
    }
    let regex = json!({ "type": "regex", "regex": "(yes|no)( indeed){0,2}" });
    for (text, expected) in
        [("yes", true), ("no indeed indeed", true), ("maybe", false), ("yes yes", false), ("", false)]
    {
        assert_eq!(accepts(regex.clone(), text), expected, "{text}");
    }
    let grammar = "start: sum\nsum: product (\"+\" product)*\nproduct: atom (\"*\" atom)*\natom: NUMBER | \"(\" sum \")\"\nNUMBER: /[0-9]{1,3}/ // <digits>";
    let grammar = json!({ "type": "grammar", "grammar": grammar });
    for (text, expected) in [("1+2*(3+44)", true), ("7", true), ("1+", false), ("(1", false), ("1234", false)] {
        assert_eq!(accepts(grammar.clone(), text), expected, "{text}");
    }
}

#[test]
fn a_mask_has_the_ends_where_the_grammar_may_end() {
    let tokens = tokens(2048);
    let vocabulary = vocabulary(&tokens);
    let request = json!({ "type": "regex", "regex": "a|ab" }).to_string();
    let mut constraint = Constraint::new(&vocabulary, &request).unwrap();
    let mut words = vec![0; vocabulary.words()];
    let mut next = |constraint: &mut Constraint| {
        constraint.mask(&mut words).unwrap();
        allowed(&words)
    };
    assert_eq!(next(&mut constraint), [u32::from(b'a')]);
    assert!(!constraint.accept(b'a'.into()).unwrap());
    assert_eq!(next(&mut constraint), [u32::from(b'b'), 2047]);
    assert!(constraint.accept(b'b'.into()).unwrap(), "nothing may follow");
    assert_eq!(next(&mut constraint), [2047]);
    let mut other = Constraint::new(&vocabulary, &request).unwrap();
    other.accept(b'a'.into()).unwrap();
    assert!(other.accept(2047).unwrap(), "the end ends it");
    let mut wrong = Constraint::new(&vocabulary, &request).unwrap();
    assert!(wrong.accept(b'x'.into()).is_err());
    assert!(wrong.mask(&mut [0; 3]).unwrap_err().message.contains("64 are expected"));
}

#[test]
fn the_first_space_is_free_where_the_tokenizer_drops_it() {
    let mut tokens = tokens(300);
    tokens.insert(299, b" yes".to_vec());
    tokens.insert(299, b"yes".to_vec());
    let packed = llava_grammar::pack(&tokens, &[301], true).unwrap();
    let vocabulary = Vocabulary::parse(&packed).unwrap();
    let mut constraint = Constraint::new(&vocabulary, "{\"type\":\"regex\",\"regex\":\"yes yes\"}").unwrap();
    let mut words = vec![0; vocabulary.words()];
    constraint.mask(&mut words).unwrap();
    let first = allowed(&words);
    assert!(first.contains(&299) && first.contains(&300) && !first.contains(&b' '.into()), "{first:?}");
    assert!(!constraint.accept(300).unwrap(), "read as `yes`");
    constraint.mask(&mut words).unwrap();
    assert_eq!(allowed(&words), [u32::from(b' '), 300], "later a space is a space");
    assert!(constraint.accept(300).unwrap());
}

#[test]
fn malformed_vocabularies_are_refused() {
    let good = llava_grammar::pack(&[b"a".to_vec(), Vec::new()], &[1], false).unwrap();
    assert_eq!(Vocabulary::parse(&good).unwrap().words(), 1);
    for length in 0..good.len() {
        assert!(Vocabulary::parse(&good[..length]).is_err(), "cut at {length}");
    }
    let message = |packed: &[u8]| Vocabulary::parse(packed).err().unwrap().to_string();
    assert!(message(&[&good[..], b"x"].concat()).contains("1 bytes too many"));
    assert!(message(&llava_grammar::pack(&[b"a".to_vec()], &[], false).unwrap()).contains("0 of 1 tokens end"));
    assert!(message(&llava_grammar::pack(&[b"a".to_vec()], &[1], false).unwrap()).contains("is no token of 1"));
    assert!(message(&[255; 64]).contains("4294967295 tokens"));
    assert!(llava_grammar::pack(&[vec![0; 70_000]], &[0], false).is_err());
}
