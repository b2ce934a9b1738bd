// out[y, x, c] = mean of f(map[i, j, c]), ⌊y·side/out_side⌋ ≤ i < ⌈(y+1)·side/out_side⌉ and j likewise;
// f: identity or, if params.hardswish is 1, x · clamp(x + 3, 0, 6) / 6
// Shapes: map [side · side, cols]; out [out_side · out_side, cols].   Limits: cols a multiple of 4.
// Grid: (cols / 4 / 64, out_side · out_side); an invocation has four channels.
// Bytes moved: map once where windows do not overlap, out once.
// Twin: mean_pool::MEAN_POOL.   Joined with: call.   Source: PyTorch's AdaptiveAvgPool2d; arXiv 1905.02244
struct Params { cols: u32, side: u32, out_side: u32, hardswish: u32, p4: u32, p5: u32, p6: u32, p7: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> map: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let parts = params.cols / 4u;
    if (id.x >= parts) { return; }
    let at = vec2<u32>(id.y / params.out_side, id.y % params.out_side);
    let first = at * params.side / params.out_side;
    let end = ((at + 1u) * params.side + params.out_side - 1u) / params.out_side;
    var sum = vec4<f32>(0.0);
    for (var row = first.x; row < end.x; row++) {
        for (var column = first.y; column < end.y; column++) {
            let x = map[(row * params.side + column) * parts + id.x];
            let gate = clamp(x + 3.0, vec4<f32>(0.0), vec4<f32>(6.0)) / 6.0;
            sum += select(x, x * gate, params.hardswish == 1u);
        }
    }
    let count = (end - first).x * (end - first).y;
    out[id.y * parts + id.x] = sum / f32(count);
}
