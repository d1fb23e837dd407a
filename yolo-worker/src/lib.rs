//! yolo-worker
