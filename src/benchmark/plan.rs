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
        let mut answered = HashMap::new();
        for (question, text) in questions.iter().zip(given) {
            if let Some(text) = text {
                answered.insert(question.asked(), text);
            }
        }
        let mut plan = Self { groups: Vec::new(), known: Vec::new(), asks: 0 };
        let mut group_of: HashMap<&Picture, usize> = HashMap::new();
        let mut asked: HashMap<_, (usize, usize)> = HashMap::new();
        for (index, question) in questions.iter().enumerate().take(limit).filter(|(index, _)| given[*index].is_none()) {
            if let Some(text) = answered.get(&question.asked()) {
                plan.known.push((index, (*text).clone()));
                continue;
            }
            if let Some((group, ask)) = asked.get(&question.asked()) {
                plan.groups[*group][*ask].copies.push(index);
                continue;
            }
            let next = plan.groups.len();
            let group = question.picture.as_ref().map_or(next, |picture| *group_of.entry(picture).or_insert(next));
            if group == next {
                plan.groups.push(Vec::new());
            }
            asked.insert(question.asked(), (group, plan.groups[group].len()));
            plan.groups[group].push(Ask { index, copies: Vec::new() });
            plan.asks += 1;
        }
        plan
    }
}
