"""The vLLM engine, in this process; `client` is the only importer of vllm."""
