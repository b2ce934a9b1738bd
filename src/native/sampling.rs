//! Options of sampling on a command line.

use crate::engine::GenerateOptions;
use clap::Args;

/// The flags of `chat` and `train eval` that choose how tokens are sampled. [`GenerateOptions`] checks their ranges.
#[derive(Debug, Clone, Args)]
pub struct SamplingArguments {
    /// 0 takes the most likely token.
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    pub temperature: f32,
    /// Number of most likely tokens to sample from; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub top_k: u32,
    /// Cumulative probability of the most likely tokens to sample from.
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    pub top_p: f32,
    /// Smallest probability of a token to sample, as a share of the most likely one's; 0 for all.
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    pub min_p: f32,
    /// Divides the positive logits of tokens in prompt and answer, and multiplies the negative ones; 1 changes none.
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    pub repetition_penalty: f32,
    /// Subtracted from a token's logit for each of its occurrences in the answer, -2 to 2.
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    pub frequency_penalty: f32,
    /// Subtracted from the logit of each token in the answer, -2 to 2.
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    pub presence_penalty: f32,
    /// Adds X, -100 to 100, to the logit of token ID; -100 excludes it. May be given several times.
    #[arg(long, value_name = "ID=X", value_parser = bias)]
    pub logit_bias: Vec<(u32, f32)>,
    /// Text that ends an answer, which does not include it; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Seed of the sampler.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u32,
}

impl SamplingArguments {
    /// Returns the options that the flags ask for; the others have their defaults.
    pub fn options(&self) -> GenerateOptions {
        GenerateOptions {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            logit_bias: self.logit_bias.iter().copied().collect(),
            stop: self.stop.clone(),
            seed: self.seed,
            ..GenerateOptions::default()
        }
    }
}

/// Reads `ID=X`.
fn bias(text: &str) -> Result<(u32, f32), String> {
    let (id, bias) = text.split_once('=').ok_or("is not ID=X")?;
    let id = id.parse().map_err(|e| format!("`{id}` is no token id: {e}"))?;
    Ok((id, bias.parse().map_err(|e| format!("`{bias}` is no number: {e}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        sampling: SamplingArguments,
    }

    fn parse(line: &str) -> Result<GenerateOptions, clap::Error> {
        Program::try_parse_from(["program"].into_iter().chain(line.split_whitespace())).map(|p| p.sampling.options())
    }

    #[test]
    fn every_flag_sets_its_option_and_the_defaults_are_the_engines() {
        let json = |options: GenerateOptions| serde_json::to_value(options).unwrap();
        assert_eq!(json(parse("").unwrap()), json(GenerateOptions::default()));
        let all = "--temperature 0.7 --top-k 50 --top-p 0.9 --min-p 0.05 --repetition-penalty 1.1 --frequency-penalty \
            -0.5 --presence-penalty -1 --logit-bias 7=-100 --logit-bias 8=2.5 --stop a --stop b --seed 3";
        let wanted = GenerateOptions {
            temperature: 0.7,
            top_k: 50,
            top_p: 0.9,
            min_p: 0.05,
            repetition_penalty: 1.1,
            frequency_penalty: -0.5,
            presence_penalty: -1.0,
            logit_bias: [(7, -100.0), (8, 2.5)].into(),
            stop: vec!["a".into(), "b".into()],
            seed: 3,
            ..GenerateOptions::default()
        };
        assert_eq!(json(parse(all).unwrap()), json(wanted));
        for wrong in ["--logit-bias 7", "--logit-bias x=1", "--logit-bias 7=x", "--min-p", "--top-k -1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
