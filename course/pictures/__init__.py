"""The course's figures: a module for each chapter, a function for each figure, so that pages stay free of drawing."""
