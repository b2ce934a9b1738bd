//! What the compilers of AMD and Intel make of the shaders that tuning can choose on hardware, against the recorded table.

use llava_isa::table::Line;
use std::collections::BTreeMap;
use std::process::Command;

/// The table: `./build.sh bench isa --hardware --csv`, below the driver's version.
const RECORDED: &str = include_str!("recorded.csv");

/// Returns the table of now; `None` where a driver is missing and need not be there.
fn measured() -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_isa")).args(["--hardware", "--csv"]).output().unwrap();
    if output.status.success() {
        return Some(String::from_utf8(output.stdout).unwrap());
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let required = ["CI", "LLAVA_REQUIRE_GPU"].iter().any(|name| std::env::var_os(name).is_some());
    assert!(!required || std::env::consts::OS != "linux", "{error}");
    eprintln!("SKIPPED: {error}");
    None
}

/// Returns the lines of a table by kernel, variant and family.
fn lines(table: &str) -> BTreeMap<[String; 3], Line> {
    let rows = table.lines().filter(|line| !line.starts_with('#') && *line != Line::HEADER);
    let lines = rows.map(|row| row.parse::<Line>().unwrap());
    lines.map(|line| ([line.kernel.clone(), line.variant.clone(), line.family.clone()], line)).collect()
}

#[test]
fn no_pipeline_of_hardware_spills_more_or_falls_below_its_record() {
    let Some(now) = measured() else { return };
    let driver = |table: &str| table.lines().next().unwrap_or_default().to_string();
    if driver(&now) != driver(RECORDED) {
        // Another compiler has other figures; that all pipelines compile has been seen.
        return eprintln!("SKIPPED: recorded with {}, compiled with {}", driver(RECORDED), driver(&now));
    }
    let (now, recorded) = (lines(&now), lines(RECORDED));
    let mut complaints = Vec::new();
    for (name, line) in &now {
        match recorded.get(name) {
            Some(before) => complaints.extend(line.complaint(before)),
            None => complaints.push(format!("{name:?} is not recorded")),
        }
    }
    let gone = recorded.keys().filter(|name| !now.contains_key(*name));
    complaints.extend(gone.map(|name| format!("{name:?} is recorded, and no longer used")));
    let how = "./build.sh bench isa --hardware --csv > src/isa/tests/recorded.csv";
    assert!(complaints.is_empty(), "{}\n(`{how}` records the table anew.)", complaints.join("\n"));
    assert!(now.len() > 100, "only {} pipelines", now.len());
}
