use super::*;
use crate::tokenizer::MARKS;
use crate::tokenizer::tests::{byte_level, byte_level_of, byte_level_with, llama_like, llama_without_beginning};
use proptest::prelude::*;

/// A question with pictures before it, and its answer.
fn turn(images: usize, question: &str, answer: Option<&[u32]>) -> Vec<Message> {
    let question = Message::user(&vec!["picture".to_string(); images], question);
    [question].into_iter().chain(answer.map(Message::answer)).collect()
}

fn typed(role: Role, text: &str) -> Message {
    Message::text(role, text)
}

/// Those whose marks are text, or ids that every tokenizer has.
const SPELLED: [Template; 4] = [Template::VicunaV1, Template::LlavaV1, Template::LlavaHf, Template::Plain];

/// Items as text again: special tokens and pictures by their marks.
fn spelled(items: &[PromptItem], tokenizer: &Tokenizer) -> String {
    let one = |item: &PromptItem| match *item {
        PromptItem::Image(i) => format!("[{i}]"),
        PromptItem::Token(id) if id == tokenizer.bos() => "<s>".to_string(),
        PromptItem::Token(id) if id == tokenizer.eos() => "</s>".to_string(),
        PromptItem::Token(id) => tokenizer.decode(&[id]),
    };
    items.iter().map(one).collect()
}

#[test]
fn templates_spell_what_they_promise() {
    let tokenizer = byte_level();
    let spell =
        |template: Template, messages: &[Message]| spelled(&template.items(messages, &tokenizer).unwrap(), &tokenizer);
    let answer = tokenizer.encode_text(" a").unwrap();
    let turns = [turn(2, "q", Some(&answer)), turn(0, "r", Some(&answer)), turn(1, "s", None)].concat();
    let hf = "USER: [0]\n[1]\nq ASSISTANT: a</s>USER: r ASSISTANT: a</s>USER: [2]\ns ASSISTANT:";
    assert_eq!(spell(Template::LlavaHf, &turns), format!("<s>{hf}"));
    let vicuna = "A chat between a curious user and an artificial intelligence assistant. The assistant gives \
                  helpful, detailed, and polite answers to the user's questions. ";
    assert_eq!(spell(Template::VicunaV1, &turns), format!("<s>{vicuna}{hf}"));
    assert_eq!(spell(Template::LlavaV1, &turns), format!("<s>{}{hf}", vicuna.replace("user", "human")));
    assert_eq!(spell(Template::Plain, &turns), "<s>[0][1]q a\nr a\n[2]s");
    assert_eq!(spell(Template::LlavaHf, &turn(0, "q", None)), "<s>USER: q ASSISTANT:");
}

/// Items as text, every token by its own text.
fn written(items: &[PromptItem], tokenizer: &Tokenizer) -> String {
    let mark = |id: u32| MARKS.into_iter().find(|mark| tokenizer.special_id(mark) == Some(id));
    let one = |item: &PromptItem| match *item {
        PromptItem::Image(i) => format!("[{i}]"),
        PromptItem::Token(id) if id == tokenizer.bos() => "<s>".to_string(),
        PromptItem::Token(id) => mark(id).map_or_else(|| tokenizer.decode(&[id]), str::to_string),
    };
    items.iter().map(one).collect()
}

#[test]
fn templates_with_marks_of_their_own() {
    let plain = byte_level();
    let tokenizer = byte_level_with(&MARKS[..11]);
    let answer = tokenizer.encode_text("a").unwrap();
    let turns = [turn(1, "q<|eot_id|><|im_end|>", Some(&answer)), turn(0, "r", None)].concat();
    for (template, first, expected) in [
        (
            Template::Llama3,
            "<|start_header_id|>",
            "<s><|start_header_id|>user<|end_header_id|>\n\n[0]\nq<|eot_id|><|im_end|><|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>\
             <|start_header_id|>user<|end_header_id|>\n\nr<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            Template::ChatMl,
            "<|im_start|>",
            "<|im_start|>user\n[0]\nq<|eot_id|><|im_end|><|im_end|>\n<|im_start|>assistant\na<|im_end|>\n\
             <|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            Template::Phi3,
            "<|user|>",
            "<s><|user|>\n[0]\nq<|eot_id|><|im_end|><|end|>\n<|assistant|>\na<|end|>\n\
             <|user|>\nr<|end|>\n<|assistant|>\n",
        ),
        (
            Template::SmolVlm,
            "<|im_start|>",
            "<|im_start|>User:[0]q<|eot_id|><|im_end|><end_of_utterance>\nAssistant:a<end_of_utterance>\n\
             User: r<end_of_utterance>\nAssistant:",
        ),
        (Template::Mistral, "", "<s>[INST] [0]\nq<|eot_id|><|im_end|> [/INST]a</s>[INST] r [/INST]"),
    ] {
        let items = template.items(&turns, &tokenizer).unwrap();
        assert_eq!(written(&items, &tokenizer), expected, "{template}");
        // What was typed is no mark: the same prompt with a plain question has as many.
        let marks = |items: &[PromptItem]| {
            let special = |id: u32| MARKS.iter().any(|mark| tokenizer.special_id(mark) == Some(id));
            items.iter().filter(|item| matches!(item, PromptItem::Token(id) if special(*id))).count()
        };
        let honest = [turn(1, "q", Some(&answer)), turn(0, "r", None)].concat();
        assert_eq!(marks(&items), marks(&template.items(&honest, &tokenizer).unwrap()), "{template}");
        if !first.is_empty() {
            let error = template.items(&turns, &plain).unwrap_err();
            assert!(error.message.contains(first), "{error}");
        }
    }
}

#[test]
fn white_space_after_a_mark_that_takes_it_in_is_left_out() {
    let tokenizer = byte_level_of(&["<|user|>", "<|assistant|>", "<|end|>"], true);
    let answer = tokenizer.encode_text("a").unwrap();
    let turns = [turn(1, " q", Some(&answer)), turn(0, "r", None)].concat();
    let items = Template::Phi3.items(&turns, &tokenizer).unwrap();
    assert_eq!(
        written(&items, &tokenizer),
        "<s><|user|>[0]\n q<|end|><|assistant|>a<|end|><|user|>r<|end|><|assistant|>"
    );
}

#[test]
fn a_beginning_is_put_where_the_tokenizer_puts_one() {
    let (with, without) = (llama_like(), llama_without_beginning());
    for template in SPELLED {
        let items = |tokenizer: &Tokenizer| template.items(&turn(1, "a", None), tokenizer).unwrap();
        let beginning = PromptItem::Token(with.bos());
        assert_eq!(items(&with)[0], beginning, "{template}");
        assert_eq!(items(&without), items(&with)[1..], "{template}");
        // Where its file says nothing, the template's models were trained with one.
        assert_eq!(items(&byte_level())[0], PromptItem::Token(byte_level().bos()), "{template}");
    }
}

#[test]
fn an_answer_ends_where_its_template_does() {
    let tokenizer = byte_level_with(&MARKS[..11]);
    for template in Template::ALL {
        let end = match template {
            Template::Llama3 => "<|eot_id|>",
            Template::ChatMl => "<|im_end|>",
            Template::Phi3 => "<|end|>",
            Template::SmolVlm => "<end_of_utterance>",
            _ => "</s>",
        };
        assert_eq!(template.end_of_turn(&tokenizer), tokenizer.special_id(end), "{template}");
        assert!(template.end_of_turn(&tokenizer).is_some());
    }
    assert_eq!(Template::ChatMl.end_of_turn(&byte_level()), None, "not one token there");
}

/// The published templates, shortened to what tells them apart.
#[test]
fn chat_templates_are_recognised() {
    let hf = "{% for message in messages %}{{ message['role'].upper() + ': '}}{% endfor %}{{ 'ASSISTANT:' }}";
    let vicuna = "{% set system = 'A chat between a curious user and an artificial…' %}{{ ' ASSISTANT:' }}";
    for (text, template) in [
        ("{{ '<|start_header_id|>' + role + '<|end_header_id|>\n\n' + content + '<|eot_id|>' }}", Template::Llama3),
        ("{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}", Template::ChatMl),
        ("{{'<|user|>' + '\n' + message['content'] + '<|end|>' + '\n' + '<|assistant|>' + '\n'}}", Template::Phi3),
        ("{{ '[INST] ' + message['content'] + ' [/INST]' }}", Template::Mistral),
        (
            "<|im_start|>{{message['role'] | capitalize}}: <end_of_utterance>\n{{ 'Assistant:' }}<|im_end|>",
            Template::SmolVlm,
        ),
        (hf, Template::LlavaHf),
        (vicuna, Template::VicunaV1),
        (&vicuna.replace("user", "human"), Template::LlavaV1),
    ] {
        assert_eq!(Template::of_chat_template(text), Some(template), "{text}");
    }
    assert_eq!(Template::of_chat_template("### Human: {{ content }}\n### Assistant:"), None);
    for (tokens, template) in [
        (&[][..], Template::VicunaV1),
        (&["<|start_header_id|>", "<|eot_id|>"], Template::Llama3),
        (&["<|im_start|>", "<|im_end|>", "<fake_token_around_image>", "<end_of_utterance>"], Template::SmolVlm),
        (&["<|im_start|>"], Template::VicunaV1),
        (&["<|im_start|>", "<|im_end|>"], Template::ChatMl),
        (&["<|user|>", "<|assistant|>", "<|end|>"], Template::Phi3),
    ] {
        let json = serde_json::to_string(&tokens).unwrap();
        assert_eq!(Template::for_tokenizer(json.as_bytes()), template, "{json}");
        assert_eq!(template.lacks(json.as_bytes()), (template == Template::Llama3).then_some("<|end_header_id|>"));
    }
}

#[test]
fn raw_prompts_have_their_marks_counted() {
    let tokenizer = llama_like();
    let items = raw("a<image><image>b</s>", &tokenizer).unwrap();
    assert_eq!(spelled(&items, &tokenizer), "<s>a[0][1]b</s>");
}

#[test]
fn names_are_those_of_manifests() {
    for template in Template::ALL {
        assert_eq!(template.name().parse::<Template>().unwrap(), template);
        assert_eq!(serde_json::to_string(&template).unwrap(), format!("\"{template}\""));
    }
    assert!("vicuna".parse::<Template>().is_err());
}

mod messages;

proptest! {
    /// The items before a question stay the same when the question and the answer follow.
    #[test]
    fn the_prefix_does_not_depend_on_the_question(
        question in ".{0,12}", other in ".{0,12}", images in 1usize..3, which in 0usize..4,
        answer in prop::collection::vec(3u32..40, 0..5),
    ) {
        let (template, tokenizer) = (SPELLED[which], llama_like());
        let items = |messages: &[Message]| template.items(messages, &tokenizer).unwrap();
        let asked = items(&turn(images, &question, None));
        let empty = items(&turn(images, "", None));
        let last = |items: &[PromptItem]| items.iter().rposition(|i| matches!(i, PromptItem::Image(_))).unwrap();
        prop_assert_eq!(&asked[..=last(&asked)], &empty[..=last(&empty)]);
        // The answer's ids follow the question's unchanged, and so does the next turn.
        let next = items(&[turn(images, &question, Some(&answer)), turn(0, &other, None)].concat());
        prop_assert_eq!(&next[..asked.len()], &asked[..]);
        let ids: Vec<PromptItem> = answer.iter().map(|id| PromptItem::Token(*id)).collect();
        prop_assert_eq!(&next[asked.len()..][..ids.len()], &ids[..]);
    }

    /// Typed text gives no special token and no picture, whatever it spells.
    #[test]
    fn typed_marks_stay_text(before in ".{0,4}", mark in 0usize..4, after in ".{0,4}", which in 0usize..4) {
        let tokenizer = llama_like();
        let mark = ["<image>", "</s>", "<s>", "<pad>"][mark];
        let items = SPELLED[which].items(&turn(1, &format!("{before}{mark}{after}"), None), &tokenizer).unwrap();
        prop_assert_eq!(items.iter().filter(|i| matches!(i, PromptItem::Image(_))).count(), 1);
        let specials = [tokenizer.bos(), tokenizer.eos(), tokenizer.image()];
        let special = |i: &&PromptItem| matches!(i, PromptItem::Token(id) if specials.contains(id));
        prop_assert_eq!(items.iter().filter(special).count(), 1, "only the beginning");
    }
}
