fn main() {
    let dir = std::env::args().nth(2).unwrap();
    let v = aim_train::golden::check(std::path::Path::new(&dir)).unwrap();
    println!("{v}");
}
