//! The migrations are compiled in; a new file in `sql/` must rebuild this crate.

fn main() {
    println!("cargo:rerun-if-changed=../sql");
}
