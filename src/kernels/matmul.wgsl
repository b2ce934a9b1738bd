// out[m, first + n] = f(Σ_k x[m, k] · w[n, k] + bias[first + n] + out[m, first + n]): see shared/epilogue.wgsl
// Shapes: x [M, K] f32; w [N, K], a tile as in shared/weight.wgsl; bias [N]; out [M, stride].
// Grid: (rows / 512, M / 8). An invocation computes 8 rows × 8 columns in registers. Per 4 values of K it reads 16 vec4
//   and dequantises 8 of them for 64 dot products, so that arithmetic bounds it, not loads.
// Bytes moved: the tile of w M / 8 times; x rows / 8 times, where all invocations of a workgroup read the same address.
// Limits: K a multiple of B (quantised: of 32; k types: of 256).   No workgroup memory, no barrier.
// Twin: matmul::reference.   Joined with: call, weight, epilogue.
const WEIGHT_TYPE: u32 = 3u; // as in shared/weight.wgsl

// Blocks of eight columns and their scales.
var<private> w: array<vec4<u32>, 8>;
var<private> a: array<vec2<f32>, 8>;
// Sums of eight rows: columns 0 to 3, and 4 to 7.
var<private> s0: mat2x4<f32>;
var<private> s1: mat2x4<f32>;
var<private> s2: mat2x4<f32>;
var<private> s3: mat2x4<f32>;
var<private> s4: mat2x4<f32>;
var<private> s5: mat2x4<f32>;
var<private> s6: mat2x4<f32>;
var<private> s7: mat2x4<f32>;
var<private> at: array<u32, 8>; // where the rows of x begin

// Returns four weights of column c.
fn weights(c: u32, part: u32) -> vec4<f32> { return dequantized(quants(w[c], part), a[c]); }

// Adds the products of four values of eight columns and of eight rows.
fn multiply(i: u32, part: u32) {
    let l = mat4x4<f32>(weights(0u, part), weights(1u, part), weights(2u, part), weights(3u, part));
    let r = mat4x4<f32>(weights(4u, part), weights(5u, part), weights(6u, part), weights(7u, part));
    let x0 = x[at[0] + i];
    s0 += mat2x4<f32>(x0 * l, x0 * r);
    let x1 = x[at[1] + i];
    s1 += mat2x4<f32>(x1 * l, x1 * r);
    let x2 = x[at[2] + i];
    s2 += mat2x4<f32>(x2 * l, x2 * r);
    let x3 = x[at[3] + i];
    s3 += mat2x4<f32>(x3 * l, x3 * r);
    let x4 = x[at[4] + i];
    s4 += mat2x4<f32>(x4 * l, x4 * r);
    let x5 = x[at[5] + i];
    s5 += mat2x4<f32>(x5 * l, x5 * r);
    let x6 = x[at[6] + i];
    s6 += mat2x4<f32>(x6 * l, x6 * r);
    let x7 = x[at[7] + i];
    s7 += mat2x4<f32>(x7 * l, x7 * r);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = id.x * 8u;
    if (n >= params.rows) { return; }
    let m_rows = rows_of(params.m);
    let m = id.y * 8u;
    let x_parts = params.k / 4u;
    // Rows and columns past the end repeat the last one, so that loops have a fixed length.
    for (var r = 0u; r < 8u; r++) { at[r] = min(m + r, m_rows - 1u) * x_parts; }
    for (var kb = 0u; kb < x_parts / BLOCK_PARTS; kb++) {
        for (var c = 0u; c < 8u; c++) {
            let column = params.plane_first + min(n + c, params.rows - 1u);
            w[c] = blocks[kb * params.plane_rows + column];
            a[c] = scale_offset(kb * BLOCK_PARTS / 8u, kb & 1u, column);
        }
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
    }
    let columns = vec4<u32>(n) + vec4<u32>(0u, 1u, 2u, 3u);
    var quads = array<mat4x4<f32>, 4>(
        mat4x4<f32>(s0[0], s1[0], s2[0], s3[0]),
        mat4x4<f32>(s0[1], s1[1], s2[1], s3[1]),
        mat4x4<f32>(s4[0], s5[0], s6[0], s7[0]),
        mat4x4<f32>(s4[1], s5[1], s6[1], s7[1]),
    );
    // A loop, so that software adapters, which this kernel is for, compile the epilogue once.
    for (var i = 0u; i < 4u; i++) { store(m + 4u * (i >> 1u), m_rows, columns + 4u * (i & 1u), quads[i]); }
}
