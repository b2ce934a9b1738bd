//! Messages of every kind, as transformers' chat templates write them.

use super::*;
use crate::error::Kind;

const PICTURE: &str = "picture";

fn spell(template: Template, messages: &[Message]) -> String {
    let tokenizer = byte_level_with(&MARKS[..12]);
    let text = written(&template.items(messages, &tokenizer).unwrap(), &tokenizer);
    text.replace("<|end_header_id|>", ">").replace("<|start_header_id|>", "<")
}

/// A system message, a question, an answer as text, and a question between two pictures.
fn dialogue() -> Vec<Message> {
    let [image, text] = [Part::Image(PICTURE.into()), Part::Text("x".into())];
    let mixed = vec![text.clone(), image.clone(), Part::Text("y".into()), image, text];
    vec![
        typed(Role::System, "s"),
        typed(Role::User, "q"),
        typed(Role::Assistant, "a"),
        Message { role: Role::User, parts: mixed },
    ]
}

#[test]
fn a_dialogue_is_what_its_template_writes() {
    for (template, expected) in [
        (Template::VicunaV1, "<s>s USER: q ASSISTANT: a</s>USER: x [0]\ny [1]\nx ASSISTANT:"),
        (Template::LlavaHf, "<s>s USER: q ASSISTANT: a</s>USER: x [0]\ny [1]\nx ASSISTANT:"),
        (
            Template::Llama3,
            "<s><system>\n\ns<|eot_id|><user>\n\nq<|eot_id|><assistant>\n\na<|eot_id|>\
             <user>\n\nx\n[0]\ny\n[1]\nx<|eot_id|><assistant>\n\n",
        ),
        (
            Template::ChatMl,
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n\
             <|im_start|>user\nx\n[0]\ny\n[1]\nx<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            Template::Phi3,
            "<s><|system|>\ns<|end|>\n<|user|>\nq<|end|>\n<|assistant|>\na<|end|>\n\
             <|user|>\nx\n[0]\ny\n[1]\nx<|end|>\n<|assistant|>\n",
        ),
        (
            Template::SmolVlm,
            "<|im_start|>System: s<end_of_utterance>\nUser: q<end_of_utterance>\nAssistant: a<end_of_utterance>\n\
             User: x[0]y[1]x<end_of_utterance>\nAssistant:",
        ),
        (Template::Mistral, "<s>[INST] s\n\nq [/INST] a</s>[INST] x\n[0]\ny\n[1]\nx [/INST]"),
    ] {
        assert_eq!(spell(template, &dialogue()), expected, "{template}");
    }
    assert_eq!(spell(Template::Plain, &dialogue()[1..]), "<s>qa\nx[0]y[1]x");
}

#[test]
fn a_last_answer_is_continued() {
    for (template, end) in [
        (Template::VicunaV1, "ASSISTANT: a"),
        (Template::Llama3, "<assistant>\n\na"),
        (Template::ChatMl, "<|im_start|>assistant\na"),
        (Template::Phi3, "<|assistant|>\na"),
        (Template::SmolVlm, "Assistant: a"),
        (Template::Mistral, "[/INST] a"),
    ] {
        let text = spell(template, &dialogue()[..3]);
        assert!(text.ends_with(end), "{template}: {text}");
        // Nothing to continue: the answer begins, as without the message.
        let empty = [&dialogue()[..2], &[typed(Role::Assistant, "")]].concat();
        assert_eq!(spell(template, &empty), spell(template, &dialogue()[..2]), "{template}");
    }
    // By ids and by text: the same, also where the tokenizer itself puts a space before a text.
    let tokenizer = llama_like();
    let items = |answer: Message| Template::LlavaHf.items(&[typed(Role::User, "b"), answer], &tokenizer).unwrap();
    let ids = tokenizer.encode_text("ab c").unwrap();
    assert_eq!(items(Message::answer(&ids)), items(typed(Role::Assistant, "ab c")));
}

/// Two messages of one role, an answer without a question, and a late system message.
#[test]
fn messages_without_a_place_are_refused_by_number() {
    let [system, user, answer] = [Role::System, Role::User, Role::Assistant].map(|role| typed(role, "t"));
    let [s, u, a] = [&system, &user, &answer].map(Clone::clone);
    let two_users = [u.clone(), u.clone()];
    let two_answers = [u.clone(), a.clone(), a.clone(), u.clone()];
    let first_answer = [a.clone(), u.clone()];
    let late = [u.clone(), a.clone(), s.clone(), u.clone()];
    let only_system = [s.clone()];
    let tokenizer = byte_level_with(&MARKS[..12]);
    for template in Template::ALL {
        let place = |messages: &[Message]| match template.items(messages, &tokenizer) {
            Ok(_) => None,
            Err(error) => {
                assert!(error.kind == Kind::Prompt && !error.hint.is_empty(), "{error}");
                Some(error.place)
            }
        };
        let refused = |which: bool, index: usize| which.then(|| format!("messages[{index}]"));
        let strict = matches!(template, Template::Mistral | Template::Plain);
        let begins = strict || matches!(template, Template::VicunaV1 | Template::LlavaV1);
        assert_eq!(place(&two_users), refused(strict, 1), "{template}");
        assert_eq!(place(&two_answers), refused(strict, 2), "{template}");
        assert_eq!(place(&first_answer), refused(strict, 0), "{template}");
        assert_eq!(place(&late), refused(begins, 2), "{template}");
        assert_eq!(place(&only_system), refused(strict, 0), "{template}");
        assert_eq!(place(&[s.clone(), u.clone()]), refused(template == Template::Plain, 0), "{template}");
        assert_eq!(place(&[]), Some("messages".into()), "{template}");
    }
    let picture = |role| Message { role, parts: vec![Part::Text("t".into()), Part::Image(PICTURE.into())] };
    for messages in [vec![picture(Role::System), u.clone()], vec![u.clone(), picture(Role::Assistant)]] {
        let error = Template::SmolVlm.items(&messages, &tokenizer).unwrap_err();
        let index = messages.len() - 1 - usize::from(messages[0].role == Role::System);
        assert_eq!(error.place, format!("messages[{index}].parts[1]"));
    }
    let ids = Message { role: Role::User, parts: vec![Part::Ids(vec![3])] };
    assert_eq!(Template::ChatMl.items(&[ids], &tokenizer).unwrap_err().place, "messages[0].parts[0]");
}

#[test]
fn messages_are_read_from_json() {
    let json = r#"[{"role": "system", "parts": [{"text": "s"}]},
        {"role": "user", "parts": [{"image": "picture"}, {"text": "q"}]}, {"role": "assistant", "parts": [{"ids": [3]}]}]"#;
    let read: Vec<Message> = serde_json::from_str(json).unwrap();
    let expected = [typed(Role::System, "s"), Message::user(&[PICTURE.into()], "q"), Message::answer(&[3])];
    assert_eq!(read, expected);
    for wrong in [
        r#"[{"role": "tool", "parts": []}]"#,
        r#"[{"role": "user", "parts": [{"audio": "x"}]}]"#,
        r#"[{"role": "user", "content": "x"}]"#,
    ] {
        assert!(serde_json::from_str::<Vec<Message>>(wrong).is_err(), "{wrong}");
    }
}
