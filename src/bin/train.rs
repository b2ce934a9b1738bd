//! Data, training and examination of the small model.

use clap::Parser;
use std::path::PathBuf;

#[derive(Parser)]
enum Command {
    /// Train
    Run {
        #[arg(long)]
        out: PathBuf,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Minutes of: tower, text, stage 1, stage 2
        #[arg(long, value_delimiter = ',', num_args = 4, default_values_t = [35.0, 8.0, 3.0, 40.0])]
        minutes: Vec<f64>,
        #[arg(long, default_value_t = 2)]
        workers: usize,
        /// Stages to run now
        #[arg(long, value_delimiter = ',', default_values_t = ["tower", "text", "stage1", "stage2"].map(String::from))]
        stages: Vec<String>,
    },
    /// Draw
    Show { out: PathBuf },
}

fn main() -> Result<(), llava_web::error::Error> {
    match Command::parse() {
        #[cfg(feature = "train")]
        Command::Run { out, seed, minutes, workers, stages } => {
            use llava_web::train::{progress::Budget, run::*};
            let budgets = std::array::from_fn(|i| Budget::Seconds(minutes[i] * 60.0));
            let plan = Plan { out, seed, workers, stages, budgets, batches: [16, 8] };
            Session::open(plan)?.train()
        }
        #[cfg(not(feature = "train"))]
        Command::Run { .. } => Ok(()),
        Command::Show { out } => {
            use llava_web::train::{draw::draw, pixels, questions::*, scenes::*};
            let mut sheet = image::RgbImage::new(8 * 200, 6 * 200);
            for i in 0..48u64 {
                let mut rng = scene_rng(5, i);
                let scene = sample(&mut rng);
                let p = draw(&scene, 192);
                let sq = pixels::square(&p, if i % 8 < 4 { 192 } else { 96 });
                let n = if i % 8 < 4 { 192 } else { 96 };
                for y in 0..n {
                    for x in 0..n {
                        let k = ((y * n + x) * 3) as usize;
                        sheet.put_pixel(
                            (i % 8) as u32 * 200 + x,
                            (i / 8) as u32 * 200 + y,
                            image::Rgb([sq[k], sq[k + 1], sq[k + 2]]),
                        );
                    }
                }
                println!(
                    "--- {i} {:?}",
                    scene
                        .objects
                        .iter()
                        .map(|o| format!("{} {:?} {:?}", o.phrase(), o.place(), o.colour))
                        .collect::<Vec<_>>()
                );
                for kind in Kind::ALL {
                    if let Some(c) = conversation(&scene, kind, &mut rng) {
                        println!("{:?}", c);
                    }
                }
            }
            sheet
                .save(out)
                .map_err(|e| llava_web::error::Error::new(llava_web::error::Kind::Io, "sheet", e.to_string()))?;
            Ok(())
        }
    }
}
