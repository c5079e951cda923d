"""The pages for browsers: the playground at `/`, the API's description at `/docs`, and the files both load."""
