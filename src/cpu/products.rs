//! Mat-muls of the same rows as one job: queries, keys and values of a layer, or the gate and what it multiplies. The rows
//! are prepared once, and threads divide the rows, or the columns of all matrices.
#![allow(unsafe_code)] // parts of a job have rows or columns of their own

use super::matmul::{Epilogue, MAX_ROWS, Product};
use super::simd::MAX_LANES;
use super::{SCRATCH, Workspace};
use crate::kernels::activation::activation_of_code;
use crate::kernels::matmul::{ACCUMULATE, ACTIVATION, BIAS, MATMUL};
use crate::kernels::matmul::{P_EPILOGUE, P_FIRST, P_K, P_M, P_PLANE_ROWS, P_ROWS, P_STRIDE};
use crate::kernels::{row_count, stored_tile};
use crate::pass::{Call, Op, Words};
use crate::quant::WeightType;

/// Columns that one thread computes: those of a matrix are divided at multiples of them.
const UNIT: usize = 64;

/// Whether `op` is a mat-mul that [`run`] computes. The twin has the others: matrices that are narrower than a vector, and
/// parts of a stack (a CPU's weights are not stacked).
pub(super) fn is_product(op: &Op) -> bool {
    let p = &op.params;
    std::ptr::eq(op.kernel, &MATMUL) && p[P_PLANE_ROWS] == p[P_ROWS] && p[P_ROWS] as usize >= MAX_LANES
}

/// Whether two mat-muls, one right after the other, multiply the same rows by weights of the same type and write to
/// different buffers.
pub(super) fn share_rows(op: &Op, next: &Op) -> bool {
    let rows = |op: &Op| (op.constant("WEIGHT_TYPE"), op.params[P_K], op.params[P_M], op.buffers[0].id);
    let out = |op: &Op| op.buffers.last().map(|out| out.id);
    rows(op) == rows(next) && out(op) != out(next)
}

/// Computes mat-muls of which every two [`share_rows`]. `buffers` are those of the executor.
pub(super) fn run(ops: &[Op], call: &Call, buffers: &mut [Words], workspace: &mut Workspace) {
    let p = &ops[0].params;
    let (m, k) = (row_count(p[P_M], call) as usize, p[P_K] as usize);
    if m == 0 {
        return;
    }
    let id = |op: &Op, at: usize| op.buffers[at].id as usize;
    let mut outs: Vec<Words> = ops.iter().map(|op| std::mem::take(&mut buffers[id(op, 4)])).collect();
    let buffer = |op: &Op, at: usize| &buffers[id(op, at)];
    let products = ops.iter().zip(&mut outs).map(|(op, out)| {
        let p = &op.params;
        let tile = stored_tile(op.constant("WEIGHT_TYPE"), buffer(op, 1), buffer(op, 2), p[P_ROWS] as usize, k);
        let epilogue = Epilogue {
            stride: p[P_STRIDE] as usize,
            first: p[P_FIRST] as usize,
            bias: (p[P_EPILOGUE] & BIAS != 0).then(|| buffer(op, 3).f32()),
            accumulate: p[P_EPILOGUE] & ACCUMULATE != 0,
            activation: activation_of_code(p[P_EPILOGUE] >> ACTIVATION),
        };
        Product::new(tile, m, epilogue, out.f32_mut())
    });
    let products: Vec<Product> = products.collect();
    let kind = WeightType::ALL[ops[0].constant("WEIGHT_TYPE") as usize];
    multiply(&products, kind, &buffer(&ops[0], 0).f32()[..m * k], m, k, workspace);
    drop(products);
    for (op, out) in ops.iter().zip(outs) {
        buffers[id(op, 4)] = out;
    }
}

/// Multiplies the rows `x [m, k]` by matrices of type `kind`. Threads divide rows where each has several tiles of them: then
/// more of what a thread reads and writes is in its own cache. Else they divide columns.
fn multiply(products: &[Product], kind: WeightType, x: &[f32], m: usize, k: usize, workspace: &mut Workspace) {
    workspace.prepare_rows(kind, x, m, k);
    let (x, level, threads) = (&workspace.activations, workspace.level, workspace.pool.size());
    let (columns, row_tiles) = (products.iter().map(Product::columns).sum::<usize>(), m.div_ceil(MAX_ROWS));
    let parts = workspace.parts(m * k * columns);
    if parts > 1 && row_tiles >= 2 * threads {
        let parts = row_tiles.next_multiple_of(threads);
        workspace.pool.run(parts, &|part| {
            let rows = m * part / parts..m * (part + 1) / parts;
            SCRATCH.with_borrow_mut(|sums| {
                // SAFETY: the rows were prepared for this type; parts have disjoint rows.
                products.iter().for_each(|p| unsafe { p.run(level, x, rows.clone(), 0..p.columns(), sums) });
            });
        });
        return;
    }
    let units = |product: &Product| product.columns().div_ceil(UNIT);
    let all: usize = products.iter().map(units).sum();
    let parts = parts.min(all);
    workspace.pool.run(parts, &|part| {
        let (from, to) = (all * part / parts, all * (part + 1) / parts);
        // The first unit of the product.
        let mut first = 0;
        for product in products {
            let own = from.max(first) - first..to.min(first + units(product)).max(first) - first;
            let columns = own.start * UNIT..(own.end * UNIT).min(product.columns());
            if !columns.is_empty() {
                // SAFETY: the rows were prepared for this type; parts have disjoint columns.
                SCRATCH.with_borrow_mut(|sums| unsafe { product.run(level, x, 0..m, columns, sums) });
            }
            first += units(product);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::Level;
    use crate::cpu::thread_pool::{SingleThread, ThreadPool, Three};
    use crate::quant::{WeightTile, plane_bytes};

    /// Multiplies rows of `k` values by matrices of arbitrary blocks and of small scales, which have `n` rows each.
    fn products(
        kind: WeightType,
        n: &[usize],
        k: usize,
        x: &[f32],
        level: Level,
        pool: Box<dyn ThreadPool>,
    ) -> Vec<f32> {
        let most = *n.iter().max().unwrap();
        let [blocks, scales] = <[u64; 2]>::from(plane_bytes(kind, most as u32, k as u32).unwrap());
        let blocks: Vec<u8> = (0..blocks).map(|i| (i * i * 37 + i) as u8 & 0xbf).collect();
        let scales: Vec<u8> = (0..scales).map(|i| (i * 37 % 0x2b) as u8).collect();
        let (m, mut workspace) = (x.len() / k, Workspace::new(level, pool));
        let mut outs: Vec<Vec<f32>> = n.iter().map(|n| vec![f32::NAN; m * n]).collect();
        let products = n.iter().zip(&mut outs).map(|(n, out)| {
            let tile = WeightTile { weight_type: kind, n: *n, k, blocks: &blocks, scales: &scales };
            let epilogue = Epilogue { stride: *n, first: 0, bias: None, accumulate: false, activation: None };
            Product::new(tile, m, epilogue, out)
        });
        let products: Vec<Product> = products.collect();
        multiply(&products, kind, x, m, k, &mut workspace);
        drop(products);
        outs.concat()
    }

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect()
    }

    #[test]
    fn several_threads_compute_what_one_does() {
        for (kind, m, n) in [(WeightType::Q4, 1, 1000), (WeightType::F16, 70, 330), (WeightType::Q8, 9, 130)] {
            let compute = |pool| products(kind, &[n], 512, &values(m * 512), Level::best(), pool);
            assert_eq!(compute(Box::new(Three)), compute(Box::new(SingleThread)), "{kind} {m} {n}");
        }
    }

    #[test]
    fn products_of_one_job_are_those_of_each_alone() {
        for (kind, m) in [(WeightType::Q4, 1), (WeightType::F32, 3), (WeightType::Q6K, 66), (WeightType::Q8, 390)] {
            let compute = |n: &[usize], pool| products(kind, n, 512, &values(m * 512), Level::best(), pool);
            let (n, together) = ([576, 70, 192, 64], compute(&[576, 70, 192, 64], Box::new(Three)));
            let alone: Vec<f32> = n.iter().flat_map(|n| compute(&[*n], Box::new(SingleThread))).collect();
            assert!(alone.iter().all(|x| x.is_finite()), "{kind} {m}");
            assert_eq!(together, alone, "{kind} {m}");
        }
    }

    #[test]
    fn many_rows_give_the_bits_that_each_gives_alone() {
        use WeightType::{Q4, Q4_1, Q4K, Q5_1, Q5K, Q6K, Q8};
        for level in Level::available() {
            for kind in [Q8, Q4, Q4_1, Q5_1, Q4K, Q5K, Q6K] {
                let compute = |x: &[f32]| products(kind, &[86], 512, x, level, Box::new(SingleThread));
                let x = values(7 * 512);
                let alone: Vec<f32> = x.chunks_exact(512).flat_map(compute).collect();
                assert!(alone.iter().all(|x| x.is_finite()) && alone[0] != alone[1], "{level:?} {kind}");
                assert_eq!(compute(&x), alone, "{level:?} {kind}");
            }
        }
    }
}
