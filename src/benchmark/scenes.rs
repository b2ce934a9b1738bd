//! The questions and the scorer of the examination, for the tab: the files of `src/scenes/`, without those that draw.

#[path = "../scenes/answers.rs"]
pub mod answers;
#[path = "../scenes/captions.rs"]
pub mod captions;
#[path = "../scenes/followups.rs"]
mod followups;
#[path = "../scenes/item.rs"]
pub mod item;
#[path = "../scenes/presence.rs"]
mod presence;
#[path = "../scenes/questions.rs"]
pub mod questions;
#[path = "../scenes/relations.rs"]
mod relations;
#[path = "../scenes/scene.rs"]
pub mod scene;
#[path = "../scenes/sketch.rs"]
pub mod sketch;
#[path = "../scenes/things.rs"]
mod things;
