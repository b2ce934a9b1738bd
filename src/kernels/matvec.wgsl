// One row times a matrix, with its neighbours in a decoding step fused:
//   y[n] = Σ_k z[k] · w[n, k],  z = x, or with NORM x · gamma / sqrt(mean(x²) + eps) (RMSNorm: the root scales y)
// EPILOGUE 0: out[first + n] = y[n]
//          1: out[first + n] += y[n]
//          2: out[n] = silu(y[n]) · y[rows / 2 + n], n < rows / 2: gate and up projection stacked
//          3: heads of q, k, v stacked: q and k rotated by RoPE; q → out, k and v → row pos of the caches;
//             with BIAS, y[n] += gamma[params.bias + n] first
// Shapes: x [.., K], of which row call.head_row is read with HEAD_ROW, else row 0; gamma [K], or with BIAS
//   [K + ..]: biases behind the norm's weights; w [N, K], a tile as in
//   shared/weight.wgsl; table [positions, D/2] of (cos, sin); caches [S, K_HEADS, D], [S, V_HEADS, D].
// Grid: rows / (4 · LANES). A workgroup has SPLIT invocations for each of LANES column quads. Each reads every SPLIT-th
//   block of its 4 columns, so that neighbours read neighbouring blocks.
// Bytes moved: the matrix once, x and gamma rows / (4 · LANES) times.
// Workgroup memory: with SPLIT > 1, 20 bytes per invocation and one barrier; else none.
// Limits: as matmul.wgsl; EPILOGUE 2: rows / 2 a multiple of 2; EPILOGUE 3: D a multiple of 4.
// Twin: matvec::reference.   Joined with: call, weight, cache_write, row.   Source: arXiv 1910.07467, 2104.09864
const WEIGHT_TYPE: u32 = 3u; // as in shared/weight.wgsl
const EPILOGUE: u32 = 3u;
const NORM: u32 = 1u;
const BIAS: u32 = 1u;
const HEAD_ROW: u32 = 0u;
const LANES: u32 = 16u;
const SPLIT: u32 = 4u;
const HEAD_SIZE: u32 = 64u;
const Q_HEADS: u32 = 4u;
const K_HEADS: u32 = 4u;
const V_HEADS: u32 = 4u;
const CACHE_F16: u32 = 1u;

// Blocks of four columns.
var<private> w0: vec4<u32>;
var<private> w1: vec4<u32>;
var<private> w2: vec4<u32>;
var<private> w3: vec4<u32>;
var<private> squares: vec4<f32>; // Σ x²
var<private> plain: vec4<f32>; // Σ z of a block
var<private> sums: vec4<f32>; // Σ z · q of a block, per column
var<private> x_base: u32;

fn multiply(i: u32, part: u32) {
    var z = x[x_base + i];
    if (NORM == 1u) {
        squares += z * z;
        z *= gamma[i];
    }
    if (OFFSET) { plain += z; }
    sums += z * mat4x4<f32>(quants(w0, part), quants(w1, part), quants(w2, part), quants(w3, part));
}

var<workgroup> partial: array<vec4<f32>, LANES * SPLIT>;
var<workgroup> partial_squares: array<f32, LANES * SPLIT>;

@compute @workgroup_size(LANES * SPLIT)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = columns(group.x * LANES + lane % LANES);
    let column = params.plane_first + min(n, vec4<u32>(params.rows - 1u));
    x_base = select(0u, call.head_row * (params.k / 4u), HEAD_ROW == 1u);
    var y = vec4<f32>(0.0);
    for (var kb = lane / LANES; kb < params.k / 4u / BLOCK_PARTS; kb += SPLIT) {
        let at = kb * params.plane_rows;
        w0 = blocks[at + column.x];
        w1 = blocks[at + column.y];
        w2 = blocks[at + column.z];
        w3 = blocks[at + column.w];
        sums = vec4<f32>(0.0);
        plain = vec4<f32>(0.0);
        let i = kb * BLOCK_PARTS;
        multiply(i, 0u);
        if (BLOCK_PARTS >= 2u) { multiply(i + 1u, 1u); }
        if (BLOCK_PARTS >= 4u) {
            multiply(i + 2u, 2u);
            multiply(i + 3u, 3u);
        }
        if (BLOCK_PARTS >= 8u) {
            multiply(i + 4u, 4u);
            multiply(i + 5u, 5u);
            multiply(i + 6u, 6u);
            multiply(i + 7u, 7u);
        }
        let group = i / 8u;
        let a0 = scale_offset(group, kb & 1u, column.x);
        let a1 = scale_offset(group, kb & 1u, column.y);
        let a2 = scale_offset(group, kb & 1u, column.z);
        let a3 = scale_offset(group, kb & 1u, column.w);
        y += sums * vec4<f32>(a0.x, a1.x, a2.x, a3.x);
        if (OFFSET) { y += dot(plain, vec4<f32>(1.0)) * vec4<f32>(a0.y, a1.y, a2.y, a3.y); }
    }
    var square = dot(squares, vec4<f32>(1.0));
    if (SPLIT > 1u) {
        partial[lane] = y;
        partial_squares[lane] = square;
        workgroupBarrier();
        if (lane >= LANES) { return; }
        for (var i = lane + LANES; i < LANES * SPLIT; i += LANES) {
            y += partial[i];
            square += partial_squares[i];
        }
    }
    finish(n, y, square);
}
