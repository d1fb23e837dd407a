//! metric-streamer
