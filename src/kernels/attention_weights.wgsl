// out[s, layer] = mean_h powers[layer, h, s] · inverse[layer, h], the attention of one row, as a mean over its heads.
// Shapes: powers [L, heads, STRIDE], of it S columns; inverse [L, heads]; out [S, L].   S = pos + 1.
// Grid: ⌈S / 64⌉ × L, one invocation per weight.   Bytes moved: 4 · L · heads · S.   No workgroup memory, no barrier.
// Twin: attention_weights::weights.   Joined with: call.
struct Params { layers: u32, heads: u32, p2: u32, p3: u32, stride: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> powers: array<f32>;
@group(0) @binding(3) var<storage, read> inverse: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x > call.pos) { return; }
    var sum = 0.0;
    for (var h = 0u; h < params.heads; h++) {
        let softmax = id.y * params.heads + h;
        sum += powers[softmax * params.stride + id.x] * inverse[softmax];
    }
    out[id.x * params.layers + id.y] = sum / f32(params.heads);
}
