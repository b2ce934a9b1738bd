// Keeps the scores of one row for attention_weights.wgsl: kept [L · heads, STRIDE], of it the heads of one layer. The last
// two of STRIDE words are the largest score, and one over the total of its softmax. STRIDE is S + 2 at least.
// The shader declares kept, and params with p6, the first of the heads, and p7, STRIDE.
fn keep_score(head: u32, key: u32, score: f32) {
    if (key <= call.pos) { kept[(params.p6 + head) * params.p7 + key] = score; }
}

fn keep_scores(head: u32, key: vec4<u32>, score: vec4<f32>) {
    keep_score(head, key.x, score.x);
    keep_score(head, key.y, score.y);
    keep_score(head, key.z, score.z);
    keep_score(head, key.w, score.w);
}

fn keep_total(head: u32, most: f32, total: f32) {
    let end = (params.p6 + head + 1u) * params.p7;
    kept[end - 2u] = most;
    kept[end - 1u] = 1.0 / total;
}
