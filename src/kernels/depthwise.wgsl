// out[y, x, c] = Σ_ij w[c, i, j] · map[s·y + i − 1, s·x + j − 1, c] + bias[c] + map[y, x, c]; zero outside of the map
// Shapes: map [side · side, cols]; w [cols, 3, 3]; bias [cols]; out [out_side · out_side, cols].
// Grid: (cols / 4 / 64, out_side · out_side); an invocation has four channels.   Limits: cols a multiple of 4.
// Bytes moved: map up to nine times, out once.
// Twin: depthwise::DEPTHWISE.   Joined with: call.   Source: arXiv 2312.16886, 2402.03766
struct Params { cols: u32, side: u32, out_side: u32, stride: u32, with_bias: u32, residual: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> map: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let parts = params.cols / 4u;
    if (id.x >= parts) { return; }
    let y = id.y / params.out_side * params.stride;
    let x = id.y % params.out_side * params.stride;
    let first = id.x * 36u; // the weights of four channels
    var sum = vec4<f32>(0.0);
    for (var tap = 0u; tap < 9u; tap++) {
        // Counted from one outside of the map: 0 and side + 1 are zeros.
        let row = y + tap / 3u;
        let column = x + tap % 3u;
        if (row == 0u || column == 0u || row > params.side || column > params.side) { continue; }
        let filters = vec4<f32>(w[first + tap], w[first + 9u + tap], w[first + 18u + tap], w[first + 27u + tap]);
        sum += filters * map[((row - 1u) * params.side + column - 1u) * parts + id.x];
    }
    let c = id.x * 4u;
    if (params.with_bias == 1u) { sum += vec4<f32>(bias[c], bias[c + 1u], bias[c + 2u], bias[c + 3u]); }
    if (params.residual == 1u) { sum += map[id.y * parts + id.x]; }
    out[id.y * parts + id.x] = sum;
}
