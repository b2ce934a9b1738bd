//! The order in which questions are asked: those on one picture together, equal ones once.

use crate::question::{Picture, Question};
use std::collections::HashMap;

/// A question to ask, and later ones that are equal to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Index of the question.
    pub index: usize,
    /// Indices of those that are equal to it.
    pub copies: Vec<usize>,
}

/// The questions on one picture that are to be asked.
pub type Group = Vec<Ask>;

/// Questions to ask, by picture.
#[derive(Debug)]
pub struct Plan {
    /// Questions by picture.
    pub groups: Vec<Group>,
    /// Answers that equal questions have already: (index, text).
    pub known: Vec<(usize, String)>,
    /// Number of different questions to ask.
    pub asks: usize,
}

impl Plan {
    /// Plans the first `limit` questions, as far as they have no answer in `given`.
    pub fn new(questions: &[Question], given: &[Option<String>], limit: usize) -> Self {
        type Key<'a> = (Option<&'a Picture>, &'a [String], &'a str);
        fn key(question: &Question) -> Key<'_> {
            (question.picture.as_ref(), &question.earlier, &question.text)
        }
        let mut answered: HashMap<Key<'_>, &str> = HashMap::new();
        for (question, text) in questions.iter().zip(given) {
            if let Some(text) = text {
                answered.insert(key(question), text);
            }
        }
        let mut plan = Self { groups: Vec::new(), known: Vec::new(), asks: 0 };
        let mut group_of: HashMap<&Picture, usize> = HashMap::new();
        let mut asked: HashMap<Key<'_>, (usize, usize)> = HashMap::new();
        for (index, question) in questions.iter().enumerate().take(limit).filter(|(index, _)| given[*index].is_none()) {
            if let Some(text) = answered.get(&key(question)) {
                plan.known.push((index, (*text).to_owned()));
                continue;
            }
            if let Some((group, ask)) = asked.get(&key(question)) {
                plan.groups[*group][*ask].copies.push(index);
                continue;
            }
            let next = plan.groups.len();
            let group = question.picture.as_ref().map_or(next, |picture| *group_of.entry(picture).or_insert(next));
            if group == next {
                plan.groups.push(Vec::new());
            }
            asked.insert(key(question), (group, plan.groups[group].len()));
            plan.groups[group].push(Ask { index, copies: Vec::new() });
            plan.asks += 1;
        }
        plan
    }
}
