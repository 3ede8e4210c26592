"""The one way from an image to a result, for the panels, the command line and Python alike.

`pipeline` holds the work as generators that yield `Progress`; `study` is what a search returns;
`facade` wraps them in plain functions, which `import napari_samstar as ss` offers.
"""
