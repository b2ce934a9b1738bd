//! Normalisation of short answers, and VQA's accuracy.
//!
//! Two normalisers exist. [`m4c`] is that of LLaVA's scripts ("EvalAI answer processor"): it makes the uploads of VQAv2
//! and VizWiz and scores TextVQA. [`official`] is that of VQA's own evaluation, which scores VQAv2 and VizWiz.
//! Digits are the ASCII ones.
//!
//! # Source
//! `llava/eval/m4c_evaluator.py` of LLaVA; `PythonEvaluationTools/vqaEvaluation/vqaEval.py` of GT-Vision-Lab/VQA.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Marks that are deleted or become spaces, in the order in which that is decided.
const MARKS: [char; 21] =
    [';', '/', '[', ']', '"', '{', '}', '(', ')', '=', '+', '\\', '_', '-', '>', '<', '@', '`', ',', '?', '!'];
/// Number words and their digits.
const NUMBERS: [(&str, &str); 12] = [
    ("none", "0"),
    ("zero", "0"),
    ("one", "1"),
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
];
/// Most full stops that are deleted: the scripts pass a flag of value 32 in place of the count.
const MOST_STOPS: usize = 32;
/// Endings of contractions, with the words before them.
const CONTRACTIONS: [(&str, &str); 10] = [
    ("n't", "ai are ca could did does do had has have is might must need ought sha should was were wo would"),
    ("'ve", "could I might must not should they we what where who would you"),
    ("n't've", "could had might should would"),
    ("'d", "he how it someone something there they where who you"),
    ("'d've", "he I it she somebody someone something there they we who y'all you"),
    ("'s", "he how somebody someone that there what when where who why"),
    ("'ll", "how it somebody someone something they what who why y'all you"),
    ("'re", "there they what why you"),
    ("'m", "I"),
    ("", "ma'am o'clock 'ow's'at 'twas y'all"),
];

/// Returns the contractions by what they are written for: each with exactly one apostrophe left out.
fn contractions() -> &'static HashMap<String, String> {
    static MAP: OnceLock<HashMap<String, String>> = OnceLock::new();
    MAP.get_or_init(|| {
        let mut map = HashMap::new();
        for (ending, words) in CONTRACTIONS {
            for target in words.split_whitespace().map(|word| format!("{word}{ending}")) {
                for (at, _) in target.match_indices('\'') {
                    map.insert(format!("{}{}", &target[..at], &target[at + 1..]), target.clone());
                }
            }
        }
        for (key, value) in [("let's", "let's"), ("she's", "she's"), ("somebody'd", "somebodyd")] {
            map.insert(key.to_owned(), value.to_owned());
        }
        map
    })
}

/// Returns whether `text` has commas between two digits, as `(\d)(\,)(\d)` finds them.
fn has_comma_in_number(text: &str) -> bool {
    text.as_bytes().windows(3).any(|w| w[0].is_ascii_digit() && w[1] == b',' && w[2].is_ascii_digit())
}

/// Deletes or replaces the marks, then deletes the full stops that no digit follows.
fn strip_marks(text: &str) -> String {
    let comma = has_comma_in_number(text);
    let mut out = text.to_owned();
    for mark in MARKS {
        let at_space = text.contains(&format!("{mark} ")) || text.contains(&format!(" {mark}"));
        out = out.replace(mark, if at_space || comma { "" } else { " " });
    }
    let mut deleted = 0;
    let mut kept = String::with_capacity(out.len());
    let mut characters = out.chars().peekable();
    while let Some(c) = characters.next() {
        let digit_follows = characters.peek().is_some_and(char::is_ascii_digit);
        if c == '.' && !digit_follows && deleted < MOST_STOPS {
            deleted += 1;
        } else {
            kept.push(c);
        }
    }
    kept
}

/// Converts to lower case, writes number words as digits, drops articles, and completes contractions.
fn digits_and_articles(text: &str) -> String {
    let text = text.to_lowercase();
    let digit = |word: &'_ str| NUMBERS.iter().find(|(name, _)| *name == word).map(|(_, digit)| *digit);
    let words = text
        .split_whitespace()
        .map(|word| digit(word).unwrap_or(word))
        .filter(|word| !["a", "an", "the"].contains(word));
    let complete = |word| contractions().get(word).map_or(word, String::as_str);
    words.map(complete).collect::<Vec<_>>().join(" ")
}

/// Replaces line ends and tabs by spaces, and strips.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\t'], " ").trim().to_owned()
}

/// Normalises as LLaVA's scripts do.
///
/// ```
/// assert_eq!(llava_benchmark::vqa_text::m4c("The dog's bowl."), "dog 's bowl");
/// ```
pub fn m4c(text: &str) -> String {
    let text = text.to_lowercase().replace([',', '?'], "").replace("'s", " 's");
    digits_and_articles(&strip_marks(&one_line(text.trim())))
}

/// Normalises as VQA's own evaluation does where people disagree.
pub fn official(text: &str) -> String {
    digits_and_articles(&strip_marks(&one_line(text)))
}

/// Returns VQA's accuracy of an answer, 0 to 1: over each person, a third of the equal answers among the others, at most
/// 1; averaged. All texts are compared as they are.
pub fn agreement(given: &str, people: &[String]) -> f64 {
    let equal = people.iter().filter(|answer| *answer == given).count();
    let score = |answer: &String| (equal - usize::from(answer == given)).min(3) as f64 / 3.0;
    people.iter().map(score).sum::<f64>() / people.len().max(1) as f64
}

/// Returns the accuracy by LLaVA's evaluator of TextVQA: both sides are normalised by [`m4c`].
pub fn m4c_accuracy(given: &str, people: &[String]) -> f64 {
    let people: Vec<String> = people.iter().map(|answer| m4c(answer)).collect();
    agreement(&m4c(given), &people)
}

/// Returns the accuracy by VQA's own evaluation: normalised only if people disagree.
pub fn official_accuracy(given: &str, people: &[String]) -> f64 {
    let people: Vec<String> = people.iter().map(|answer| one_line(answer)).collect();
    if people.iter().all(|answer| *answer == people[0]) {
        return agreement(&one_line(given), &people);
    }
    let people: Vec<String> = people.iter().map(|answer| official(answer)).collect();
    agreement(&official(given), &people)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contractions_are_those_of_the_source() {
        // 117 by the rule, and three exceptions.
        assert_eq!(contractions().len(), 120);
        for (key, target) in [
            ("dont", "don't"),
            ("couldn'tve", "couldn't've"),
            ("couldnt've", "couldn't've"),
            ("y'alldve", ""),
            ("yall'd've", "y'all'd've"),
            ("'ow'sat", "'ow's'at"),
            ("Im", "I'm"),
            ("let's", "let's"),
            ("lets", ""),
            ("shes", ""),
            ("somebody'd", "somebodyd"),
            ("somebodyd", ""),
        ] {
            assert_eq!(contractions().get(key).map_or("", String::as_str), target, "{key}");
        }
    }

    #[test]
    fn m4c_gives_the_examples_of_the_facts() {
        for (text, wanted) in [
            ("The dog's bowl", "dog 's bowl"),
            ("1,000", "1000"),
            ("1/2", "1 2"),
            ("black-and-white", "black and white"),
            ("U.S.", "us"),
            ("none", "0"),
            ("10:30", "10:30"),
            ("3.", "3"),
            ("a.b", "ab"),
            (".5", ".5"),
            ("no. 5", "no 5"),
            ("Ten  apples,\tan orange\n", "10 apples orange"),
            // `- ` stands in the text, so that every hyphen goes.
            ("a-b - c", "ab c"),
            ("Dont KNOW!", "don't know"),
            // Lower case comes first, and the keys with a capital I match nothing.
            ("Im here", "im here"),
            ("$5 & up*", "$5 & up*"),
        ] {
            assert_eq!(m4c(text), wanted, "{text}");
        }
        assert_eq!(
            m4c(&"x.".repeat(40)),
            format!("{}{}", "x".repeat(33), ".x".repeat(7) + "."),
            "32 stops are deleted"
        );
    }

    #[test]
    fn official_differs_where_the_facts_say() {
        assert_eq!(official("The dog's bowl"), "dog's bowl");
        // A comma between digits deletes every mark, also the hyphen that would have become a space.
        assert_eq!(official("1,000-fold"), "1000fold");
        assert_eq!(m4c("1,000-fold"), "1000 fold");
        assert_eq!(official("yes, sir"), "yes sir");
        assert_eq!(official("yes,sir"), "yes sir");
        assert_eq!(m4c("yes,sir"), "yessir");
    }

    fn people(list: &[(&str, usize)]) -> Vec<String> {
        list.iter().flat_map(|(text, n)| vec![(*text).to_owned(); *n]).collect()
    }

    #[test]
    fn accuracy_by_the_number_of_equal_answers_is_0_03_06_09_1() {
        for (equal, wanted) in [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (7, 1.0), (10, 1.0)] {
            let answers = people(&[("red", equal), ("blue", 10 - equal)]);
            assert!((agreement("red", &answers) - wanted).abs() < 1e-12, "{equal}");
        }
    }

    #[test]
    fn only_the_official_evaluation_compares_unanimous_answers_as_they_are() {
        let all = people(&[("Red", 10)]);
        assert_eq!((official_accuracy("red", &all), m4c_accuracy("red", &all)), (0.0, 1.0));
        assert_eq!(official_accuracy(" Red\n", &all), 1.0);
        let mixed = people(&[("Red", 2), ("the red", 1), ("blue", 7)]);
        assert!((official_accuracy("red.", &mixed) - 0.9).abs() < 1e-12);
        assert!((m4c_accuracy("A red", &mixed) - 0.9).abs() < 1e-12);
    }
}
