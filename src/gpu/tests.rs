use super::*;
use crate::kernels::embed_rows::{IMAGE_ROW, embed_rows};
use crate::kernels::harness::gpu_or_skip;
use crate::kernels::{Rows, Weight};
use crate::quant::WeightType;
use pollster::block_on;

/// A pass that copies row `ids[0]` of `source [rows, 4]` to `out`, and the three buffers.
async fn gather(gpu: &mut Gpu, rows: u64) -> (usize, [Buf; 3]) {
    let source = gpu.buffer("source", rows * 4).await.unwrap();
    let (ids, out) = (gpu.buffer("ids", 1).await.unwrap(), gpu.buffer("out", 4).await.unwrap());
    let (blocks, scales) = (gpu.buffer("blocks", 4).await.unwrap(), gpu.buffer("scales", 1).await.unwrap());
    let table =
        Weight { kind: WeightType::F32, first_row: 0, rows: 1, cols: 4, plane_rows: 1, plane_first: 0, blocks, scales };
    let mut pass = Pass::new("gather");
    embed_rows(&mut pass, Rows::Fixed(1), table, source, ids, out);
    (gpu.prepare(pass).await.unwrap(), [source, ids, out])
}

async fn row(gpu: &mut Gpu, pass: usize, ids: Buf, out: Buf, row: u32) -> Result<Vec<u32>> {
    gpu.upload(ids, 0, bytemuck::bytes_of(&(IMAGE_ROW + row)));
    gpu.replay(&[pass], &Call::new(1, 0))?;
    let reading = gpu.start_read_back(out, 0, 4);
    gpu.finish_read_back(reading).await
}

#[test]
fn a_prepared_pass_works_on_the_new_memory() {
    if !gpu_or_skip() {
        return;
    }
    block_on(async {
        let mut gpu = Gpu::open().await.unwrap();
        let (pass, [source, ids, out]) = gather(&mut gpu, 2).await;
        gpu.upload(source, 0, bytemuck::cast_slice(&[1u32, 2, 3, 4, 5, 6, 7, 8]));
        gpu.resize(source, 12).await.unwrap();
        gpu.upload(source, 8, bytemuck::cast_slice(&[9u32, 10, 11, 12]));
        assert_eq!(row(&mut gpu, pass, ids, out, 2).await.unwrap(), [9, 10, 11, 12], "bound anew");
        assert_eq!(row(&mut gpu, pass, ids, out, 1).await.unwrap(), [5, 6, 7, 8], "kept");
        // More than a buffer may have: refused, and everything is as it was.
        let refused = gpu.resize(source, 1 << 30).await.unwrap_err();
        assert_eq!((refused.kind, gpu.words(source)), (Kind::Gpu, 12), "{refused}");
        assert_eq!(row(&mut gpu, pass, ids, out, 2).await.unwrap(), [9, 10, 11, 12], "still there");
        assert_eq!((gpu.free(source), gpu.free(source)), (12, 0));
        gpu.wait_idle().await.unwrap();
    });
}

#[test]
fn a_lost_device_says_so_everywhere() {
    if !gpu_or_skip() {
        return;
    }
    block_on(async {
        let mut gpu = Gpu::open().await.unwrap();
        let (pass, [source, ids, out]) = gather(&mut gpu, 1).await;
        row(&mut gpu, pass, ids, out, 0).await.unwrap();
        gpu.device.destroy();
        let reading = gpu.start_read_back(out, 0, 4);
        let error = gpu.finish_read_back(reading).await.unwrap_err();
        assert_eq!(error.kind, Kind::GpuLost, "{error}");
        assert_eq!(gpu.replay(&[pass], &Call::new(1, 0)).unwrap_err().kind, Kind::GpuLost);
        assert_eq!(gpu.wait_idle().await.unwrap_err().kind, Kind::GpuLost);
        assert_eq!(gpu.buffer("after", 4).await.unwrap_err().kind, Kind::GpuLost);
        assert_eq!(gpu.resize(source, 8).await.unwrap_err().kind, Kind::GpuLost);
    });
}

#[test]
fn running_out_of_memory_is_not_covered_up_by_the_loss_that_follows() {
    if !gpu_or_skip() {
        return;
    }
    block_on(async {
        let gpu = Gpu::open().await.unwrap();
        *gpu.last_error.lock().unwrap() = Some(Error::new(Kind::OutOfMemory, "GPU", "reported before"));
        gpu.device.destroy();
        assert_eq!(gpu.wait_idle().await.unwrap_err().kind, Kind::OutOfMemory);
    });
}

#[test]
fn what_the_adapter_offers_is_asked_for() {
    if gpu_or_skip() {
        let gpu = block_on(Gpu::open()).unwrap();
        eprintln!("{}: {:?}", gpu.adapter(), gpu.features);
        assert!(gpu.features.integer_dot, "naga writes what a driver lacks");
        assert_eq!(gpu.device.features().contains(wgpu::Features::SHADER_F16), gpu.features.f16);
    }
}
