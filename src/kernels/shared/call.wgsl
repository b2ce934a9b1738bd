// The values that differ from call to call (pass.rs's `Call`): binding 1 of every shader. Binding 0 is its `params`.
struct Call {
    rows: u32, pos: u32, step: u32, seed: u32, temperature: f32, top_p: f32, top_k: u32, head_row: u32,
    max_gap: f32, repetition_penalty: f32, frequency_penalty: f32, presence_penalty: f32, biased: u32, masked: u32,
}
@group(0) @binding(1) var<uniform> call: Call;

// Returns the number of rows behind a word of the parameters, where 0 stands for those of the call.
fn rows_of(word: u32) -> u32 { return select(word, call.rows, word == 0u); }
