"""The sample project and the fakes that let a newcomer drive the main job without any account."""
