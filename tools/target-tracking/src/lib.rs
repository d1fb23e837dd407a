//! The arithmetic of EC2 Auto Scaling's target tracking: points of a metric in, a desired capacity out.
