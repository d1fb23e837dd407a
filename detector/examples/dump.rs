use tract_onnx::prelude::*;
fn main() -> TractResult<()> {
    let args: Vec<String> = std::env::args().collect();
    let t = std::time::Instant::now();
    let mut m = tract_onnx::onnx().model_for_path(&args[1])?;
    eprintln!("parse {:?}", t.elapsed());
    if args.len() > 2 { m.select_outputs_by_name(args[2..].iter().map(|s| s.as_str()))?; }
    let m = m.into_typed()?;
    eprintln!("typed {:?}", t.elapsed());
    let m = if std::env::var("D").is_ok() { m.into_decluttered()? } else { m };
    eprintln!("declutter {:?}", t.elapsed());
    for &n in &m.eval_order()? {
        let n = &m.nodes[n];
        let o = format!("{:?}", n.op);
        println!("{} {} [{}] {:?} -> {:?} {}", n.id, n.op.name(), n.name, n.inputs, n.outputs.iter().map(|o| (format!("{:?}", o.fact.shape), o.successors.len())).collect::<Vec<_>>(), &o[..o.len().min(700)]);
    }
    println!("{:?}", m.outputs);
    Ok(())
}
